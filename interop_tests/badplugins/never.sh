# Never prints a line.
echo "waiting for the database" >&2
exec sleep 60
