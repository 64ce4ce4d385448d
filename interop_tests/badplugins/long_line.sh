# Prints a first line that is too long and has no end.
head -c 70000 /dev/zero | tr '\0' x
exec sleep 60
