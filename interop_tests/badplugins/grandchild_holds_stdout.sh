# Exits, while a child of its own holds its pipes open.
sleep 60 &
exit 3
