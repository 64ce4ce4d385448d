"""Serves an application and nothing of go-plugin's: no health, controller, stdio or broker."""

from bare_plugin import Plugin

missing = ["/grpc.health.v1.Health/Check", "/plugin.GRPCController/Shutdown", "/plugin.GRPCStdio/StreamStdio"]
Plugin().without(*missing, "/plugin.GRPCBroker/StartStream").serve()
