"""Serves everything but the broker."""

from bare_plugin import Plugin

Plugin().without("/plugin.GRPCBroker/StartStream").serve()
