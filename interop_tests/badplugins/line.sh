# Prints the line that it is told, then behaves as if it served.
printf '%s\n' "$LINE"
exec sleep 60
