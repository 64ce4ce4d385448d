package probe

import (
	"context"

	"github.com/hashicorp/go-hclog"
	"github.com/hashicorp/go-plugin"
	"google.golang.org/grpc"

	"goplugin/interop/internal/kvv1"
	"goplugin/interop/internal/probev1"
)

// The names under which both sides know the two plugins.
const (
	PluginName = "probe"
	StoreName  = "kv"
)

// Client is what a host gets when it dispenses the probe: the stub, the connection for other services, and the
// broker.
type Client struct {
	probev1.ProbeClient
	Connection *grpc.ClientConn
	Broker     *plugin.GRPCBroker
}

type probePlugin struct {
	plugin.NetRPCUnsupportedPlugin
	logger hclog.Logger
}

func (p *probePlugin) GRPCServer(broker *plugin.GRPCBroker, server *grpc.Server) error {
	probev1.RegisterProbeServer(server, &Server{Logger: p.logger, Broker: broker})
	return nil
}

func (*probePlugin) GRPCClient(
	_ context.Context, broker *plugin.GRPCBroker, connection *grpc.ClientConn,
) (any, error) {
	return &Client{probev1.NewProbeClient(connection), connection, broker}, nil
}

type storePlugin struct {
	plugin.NetRPCUnsupportedPlugin
}

func (*storePlugin) GRPCServer(_ *plugin.GRPCBroker, server *grpc.Server) error {
	kvv1.RegisterKVServer(server, &Store{})
	return nil
}

func (*storePlugin) GRPCClient(
	_ context.Context, _ *plugin.GRPCBroker, connection *grpc.ClientConn,
) (any, error) {
	return kvv1.NewKVClient(connection), nil
}

// Plugins is the set that both sides use; the logger is the plugin's.
func Plugins(logger hclog.Logger) plugin.PluginSet {
	return plugin.PluginSet{PluginName: &probePlugin{logger: logger}, StoreName: &storePlugin{}}
}
