# Is gone between its line and the first call.
echo "1|1|unix|$PLUGIN_UNIX_SOCKET_DIR/plugin|grpc|"
echo "cannot listen" >&2
exit 4
