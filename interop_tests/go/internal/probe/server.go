// Package probe is the test service as go-plugin sees it: its servers, its clients, and the plugin set that a
// host and a plugin share.
package probe

import (
	"context"
	"fmt"
	"os"
	"sync"
	"time"

	"github.com/hashicorp/go-hclog"
	"github.com/hashicorp/go-plugin"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"goplugin/interop/internal/kvv1"
	"goplugin/interop/internal/probev1"
)

// Server answers the Probe service.
type Server struct {
	probev1.UnimplementedProbeServer
	Logger hclog.Logger
	Broker *plugin.GRPCBroker
}

func (*Server) Echo(_ context.Context, request *probev1.EchoRequest) (*probev1.EchoResponse, error) {
	return &probev1.EchoResponse{Data: request.Data}, nil
}

func (*Server) Add(_ context.Context, request *probev1.AddRequest) (*probev1.AddResponse, error) {
	return &probev1.AddResponse{Sum: request.A + request.B}, nil
}

// Print looks os.Stdout and os.Stderr up at each call: go-plugin replaces both after the handshake line.
func (*Server) Print(_ context.Context, request *probev1.PrintRequest) (*probev1.PrintResponse, error) {
	var file *os.File
	switch request.Channel {
	case probev1.Channel_CHANNEL_STDOUT:
		file = os.Stdout
	case probev1.Channel_CHANNEL_STDERR:
		file = os.Stderr
	default:
		return nil, status.Errorf(codes.InvalidArgument, "no such channel: %v", request.Channel)
	}
	for range request.Times {
		if _, err := file.Write(request.Text); err != nil {
			return nil, status.Errorf(codes.Internal, "print: %v", err)
		}
	}
	return &probev1.PrintResponse{}, nil
}

func (s *Server) Log(_ context.Context, request *probev1.LogRequest) (*probev1.LogResponse, error) {
	level := hclog.LevelFromString(request.Level)
	if level == hclog.NoLevel {
		return nil, status.Errorf(codes.InvalidArgument, "no such log level: %q", request.Level)
	}
	var pairs []any
	for key, value := range request.Fields {
		pairs = append(pairs, key, value)
	}
	s.Logger.Log(level, request.Message, pairs...)
	return &probev1.LogResponse{}, nil
}

func (*Server) Sleep(ctx context.Context, request *probev1.SleepRequest) (*probev1.SleepResponse, error) {
	select {
	case <-time.After(time.Duration(request.Milliseconds) * time.Millisecond):
		return &probev1.SleepResponse{}, nil
	case <-ctx.Done():
		return nil, status.FromContextError(ctx.Err()).Err()
	}
}

func (*Server) Exit(_ context.Context, request *probev1.ExitRequest) (*probev1.ExitResponse, error) {
	os.Exit(int(request.Code))
	return nil, nil
}

func (*Server) Environment(
	_ context.Context, request *probev1.EnvironmentRequest,
) (*probev1.EnvironmentResponse, error) {
	variables := map[string]string{}
	for _, name := range request.Names {
		if value, set := os.LookupEnv(name); set {
			variables[name] = value
		}
	}
	return &probev1.EnvironmentResponse{Variables: variables}, nil
}

func (*Server) Descriptors(
	context.Context, *probev1.DescriptorsRequest,
) (*probev1.DescriptorsResponse, error) {
	entries, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		return nil, status.Errorf(codes.Unimplemented, "descriptors: %v", err)
	}
	return &probev1.DescriptorsResponse{Open: uint32(len(entries) - 1)}, nil // one is the listing itself
}

func (*Server) Stream(request *probev1.StreamRequest, stream probev1.Probe_StreamServer) error {
	for number := range request.Count {
		if err := stream.Send(&probev1.StreamResponse{Number: number}); err != nil {
			return err
		}
	}
	return nil
}

func (*Server) Fail(_ context.Context, request *probev1.FailRequest) (*probev1.FailResponse, error) {
	code := codes.Code(request.Code)
	if code == codes.OK {
		return nil, status.Error(codes.InvalidArgument, "OK is not a failure")
	}
	return nil, status.Error(code, request.Message)
}

func (s *Server) CallBack(
	ctx context.Context, request *probev1.CallBackRequest,
) (*probev1.CallBackResponse, error) {
	connection, err := s.Broker.Dial(request.ServiceId)
	if err != nil {
		return nil, status.Errorf(codes.Unavailable, "dial: %v", err)
	}
	defer func() { _ = connection.Close() }()
	answer, err := probev1.NewProbeClient(connection).Echo(ctx, &probev1.EchoRequest{Data: request.Data})
	return &probev1.CallBackResponse{Data: answer.GetData()}, err
}

func (s *Server) Serve(_ context.Context, request *probev1.ServeRequest) (*probev1.ServeResponse, error) {
	go ServeBrokered(s.Broker, request.ServiceId)
	return &probev1.ServeResponse{}, nil
}

// ServeBrokered serves a Probe as a brokered connection, from either side, until host and plugin part.
func ServeBrokered(broker *plugin.GRPCBroker, id uint32) {
	broker.AcceptAndServe(id, func(options []grpc.ServerOption) *grpc.Server {
		server := grpc.NewServer(options...)
		probev1.RegisterProbeServer(server, &Server{Broker: broker})
		return server
	})
}

// Store answers the KV service from memory.
type Store struct {
	kvv1.UnimplementedKVServer
	values sync.Map
}

func (s *Store) Put(_ context.Context, request *kvv1.PutRequest) (*kvv1.Empty, error) {
	s.values.Store(request.Key, request.Value)
	return &kvv1.Empty{}, nil
}

func (s *Store) Get(_ context.Context, request *kvv1.GetRequest) (*kvv1.GetResponse, error) {
	value, found := s.values.Load(request.Key)
	if !found {
		return nil, status.Error(codes.NotFound, fmt.Sprintf("no such key: %q", request.Key))
	}
	return &kvv1.GetResponse{Value: value.([]byte)}, nil
}
