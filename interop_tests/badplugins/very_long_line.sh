# Prints a first line of ten megabytes without an end, and says on stderr when it has got rid of it.
head -c 10000000 /dev/zero | tr '\0' x
echo "all said" >&2
exec sleep 60
