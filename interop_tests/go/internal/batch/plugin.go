// Package batch is a host for batch plugins: the Batch* services on top of go-plugin's handshake. A plugin of each
// kind is a Go value with the calls that make sense for it; messages, values and errors are plain Go.
//
// Every call ends with its context. What a plugin answers with NotConnected or a backoff is heeded here: Connect is
// called again, and the caller sees the outcome.
package batch

import (
	"context"
	"fmt"
	"os/exec"

	"github.com/hashicorp/go-hclog"
	"github.com/hashicorp/go-plugin"
	"google.golang.org/grpc"
)

var handshake = plugin.HandshakeConfig{
	ProtocolVersion: 1, MagicCookieKey: "GOPLUGIN_BATCH", MagicCookieValue: "v1",
}

// Launch is how a plugin is started.
type Launch struct {
	Command  *exec.Cmd
	AutoMTLS bool
	Logger   hclog.Logger
}

// client is one plugin's process, and the stub of the service that it is there for.
type client[Stub any] struct {
	process *plugin.Client
	stub    Stub
}

// service tells go-plugin how to make a stub of a connection.
type service[Stub any] struct {
	plugin.NetRPCUnsupportedPlugin
	connect func(grpc.ClientConnInterface) Stub
}

func (*service[Stub]) GRPCServer(*plugin.GRPCBroker, *grpc.Server) error {
	return fmt.Errorf("this is a host")
}

func (s *service[Stub]) GRPCClient(
	_ context.Context, _ *plugin.GRPCBroker, connection *grpc.ClientConn,
) (any, error) {
	return s.connect(connection), nil
}

// start launches a plugin and dispenses what it has under name. Nothing is left behind when that fails.
func start[Stub any](how Launch, name string, connect func(grpc.ClientConnInterface) Stub) (*client[Stub], error) {
	process := plugin.NewClient(&plugin.ClientConfig{
		HandshakeConfig:  handshake,
		Plugins:          plugin.PluginSet{name: &service[Stub]{connect: connect}},
		Cmd:              how.Command,
		AllowedProtocols: []plugin.Protocol{plugin.ProtocolGRPC},
		AutoMTLS:         how.AutoMTLS,
		Logger:           how.Logger,
	})
	protocol, err := process.Client()
	if err == nil {
		var dispensed any
		if dispensed, err = protocol.Dispense(name); err == nil {
			return &client[Stub]{process: process, stub: dispensed.(Stub)}, nil
		}
	}
	process.Kill()
	return nil, err
}

// stop ends the plugin's process as go-plugin does, after its service has been told to close.
func (c *client[Stub]) stop(told error) error {
	c.process.Kill()
	return told
}
