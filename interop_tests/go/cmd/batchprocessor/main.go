// Command batchprocessor is a batch processor in Go, served by go-plugin: each message's bytes come back in
// upper case.
//
//	-cookie-key, -cookie-value  the magic cookie (GOPLUGIN_BATCH=v1; INTEROP_COOKIE_KEY and _VALUE)
//	-versions 1,2               the protocol versions served (1; INTEROP_VERSIONS)
package main

import (
	"bytes"
	"context"

	"github.com/hashicorp/go-hclog"
	"github.com/hashicorp/go-plugin"
	"google.golang.org/grpc"

	"goplugin/interop/internal/batchv1"
	"goplugin/interop/internal/settings"
)

type upper struct {
	batchv1.UnimplementedBatchProcessorServiceServer
	logger hclog.Logger
}

func (u *upper) Init(
	context.Context, *batchv1.BatchProcessorInitRequest,
) (*batchv1.BatchProcessorInitResponse, error) {
	u.logger.Info("processor ready", "does", "upper case")
	return &batchv1.BatchProcessorInitResponse{}, nil
}

// ProcessBatch works in place; a structured payload fails its own message and no other.
func (*upper) ProcessBatch(
	_ context.Context, request *batchv1.BatchProcessorProcessBatchRequest,
) (*batchv1.BatchProcessorProcessBatchResponse, error) {
	for _, message := range request.GetBatch().GetMessages() {
		switch payload := message.Payload.(type) {
		case *batchv1.Message_Bytes:
			payload.Bytes = bytes.ToUpper(payload.Bytes)
		case *batchv1.Message_Structured:
			message.Error = &batchv1.Error{Message: "a structured payload has no upper case"}
		}
	}
	batches := []*batchv1.MessageBatch{request.GetBatch()}
	return &batchv1.BatchProcessorProcessBatchResponse{Batches: batches}, nil
}

func (*upper) Close(
	context.Context, *batchv1.BatchProcessorCloseRequest,
) (*batchv1.BatchProcessorCloseResponse, error) {
	return &batchv1.BatchProcessorCloseResponse{}, nil
}

type processorPlugin struct {
	plugin.NetRPCUnsupportedPlugin
	logger hclog.Logger
}

func (p *processorPlugin) GRPCServer(_ *plugin.GRPCBroker, server *grpc.Server) error {
	batchv1.RegisterBatchProcessorServiceServer(server, &upper{logger: p.logger})
	return nil
}

func (*processorPlugin) GRPCClient(
	_ context.Context, _ *plugin.GRPCBroker, connection *grpc.ClientConn,
) (any, error) {
	return batchv1.NewBatchProcessorServiceClient(connection), nil
}

func main() {
	chosen := settings.Flags("GOPLUGIN_BATCH", "v1")()
	logger := settings.Logger("upper")
	plugin.Serve(&plugin.ServeConfig{
		HandshakeConfig:  chosen.Cookie,
		VersionedPlugins: chosen.Serve(plugin.PluginSet{"batch_processor": &processorPlugin{logger: logger}}),
		GRPCServer:       largeMessages,
		Logger:           logger,
	})
}

// largeMessages raises grpc-go's 4 MiB: a batch has no such limit.
func largeMessages(options []grpc.ServerOption) *grpc.Server {
	const limit = 256 << 20
	return grpc.NewServer(append(options, grpc.MaxRecvMsgSize(limit), grpc.MaxSendMsgSize(limit))...)
}
