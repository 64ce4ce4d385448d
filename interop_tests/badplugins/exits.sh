# Exits with a code before its line.
echo "cannot open the database" >&2
exit "$CODE"
