package batch

import (
	"context"
	"fmt"

	"google.golang.org/grpc"

	"goplugin/interop/internal/batchv1"
)

// Processor is a step of a pipeline.
type Processor struct {
	*client[batchv1.BatchProcessorServiceClient]
}

// OpenProcessor starts a processor and configures it.
func OpenProcessor(ctx context.Context, how Launch, config map[string]any) (*Processor, error) {
	value, err := toWireValue(config)
	if err != nil {
		return nil, err
	}
	stub := func(connection grpc.ClientConnInterface) batchv1.BatchProcessorServiceClient {
		return batchv1.NewBatchProcessorServiceClient(connection)
	}
	client, err := start(how, "processor", stub)
	if err != nil {
		return nil, err
	}
	if err := said(client.stub.Init(ctx, &batchv1.BatchProcessorInitRequest{Config: value})); err != nil {
		return nil, client.stop(fmt.Errorf("init: %w", err))
	}
	return &Processor{client}, nil
}

// Process is what becomes of a batch: several batches split it, none drops it. An error of the plugin's for the
// whole batch is on each of its messages; an error returned is the transport's.
func (p *Processor) Process(ctx context.Context, batch Batch) ([]Batch, error) {
	wire, err := batch.ToWire()
	if err != nil {
		return nil, err
	}
	answer, err := p.stub.ProcessBatch(ctx, &batchv1.BatchProcessorProcessBatchRequest{Batch: wire})
	if err != nil {
		return nil, err
	}
	if err := fromWireError(answer.GetError()); err != nil {
		return []Batch{batch.Marked(err)}, nil
	}
	batches := make([]Batch, len(answer.GetBatches()))
	for number, one := range answer.GetBatches() {
		if batches[number], err = FromWire(one); err != nil {
			return nil, err
		}
	}
	return batches, nil
}

// Close ends the processor's work and its process.
func (p *Processor) Close(ctx context.Context) error {
	return p.stop(said(p.stub.Close(ctx, &batchv1.BatchProcessorCloseRequest{})))
}
