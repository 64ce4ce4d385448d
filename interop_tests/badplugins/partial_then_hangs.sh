# Prints half of a line, and no more.
printf '1|1|unix|/tmp'
exec sleep 60
