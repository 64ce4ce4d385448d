package batch

import (
	"errors"
	"fmt"
	"time"

	"google.golang.org/protobuf/types/known/timestamppb"

	"goplugin/interop/internal/batchv1"
)

// Message is a payload of bytes or, where IsStructured, of a value; with metadata, and with the error of the
// processor that failed on it.
type Message struct {
	Payload      []byte
	Structured   any
	IsStructured bool
	Metadata     map[string]any
	Err          error
}

// Batch is messages that travel together.
type Batch []Message

// FromWire reads a batch. A missing payload is an empty one.
func FromWire(wire *batchv1.MessageBatch) (Batch, error) {
	batch := make(Batch, 0, len(wire.GetMessages()))
	for number, one := range wire.GetMessages() {
		message := Message{Payload: one.GetBytes(), Err: fromWireError(one.GetError())}
		var err error
		if structured, ok := one.GetPayload().(*batchv1.Message_Structured); ok {
			message.IsStructured = true
			message.Structured, err = fromWireValue(structured.Structured)
		}
		if err == nil {
			message.Metadata, err = fromWireFields(one.GetMetadata())
		}
		if err != nil {
			return nil, fmt.Errorf("message %d: %w", number, err)
		}
		batch = append(batch, message)
	}
	return batch, nil
}

// ToWire writes a batch.
func (b Batch) ToWire() (*batchv1.MessageBatch, error) {
	wire := &batchv1.MessageBatch{}
	for number, message := range b {
		one := &batchv1.Message{
			Payload: &batchv1.Message_Bytes{Bytes: message.Payload}, Error: toWireError(message.Err),
		}
		if message.IsStructured {
			value, err := toWireValue(message.Structured)
			if err != nil {
				return nil, fmt.Errorf("message %d: %w", number, err)
			}
			one.Payload = &batchv1.Message_Structured{Structured: value}
		}
		if len(message.Metadata) > 0 {
			metadata, err := toWireValue(message.Metadata)
			if err != nil {
				return nil, fmt.Errorf("metadata of message %d: %w", number, err)
			}
			one.Metadata = metadata.GetStructValue()
		}
		wire.Messages = append(wire.Messages, one)
	}
	return wire, nil
}

// Marked is the batch with err on every message.
func (b Batch) Marked(err error) Batch {
	marked := make(Batch, len(b))
	for number, message := range b {
		message.Err = err
		marked[number] = message
	}
	return marked
}

func fromWireFields(wire *batchv1.StructValue) (map[string]any, error) {
	fields := make(map[string]any, len(wire.GetFields()))
	for name, value := range wire.GetFields() {
		var err error
		if fields[name], err = fromWireValue(value); err != nil {
			return nil, fmt.Errorf("%s: %w", name, err)
		}
	}
	return fields, nil
}

func fromWireValue(wire *batchv1.Value) (any, error) {
	switch kind := wire.GetKind().(type) {
	case *batchv1.Value_NullValue:
		return nil, nil
	case *batchv1.Value_StringValue:
		return kind.StringValue, nil
	case *batchv1.Value_IntegerValue:
		return kind.IntegerValue, nil
	case *batchv1.Value_DoubleValue:
		return kind.DoubleValue, nil
	case *batchv1.Value_BoolValue:
		return kind.BoolValue, nil
	case *batchv1.Value_TimestampValue:
		return kind.TimestampValue.AsTime(), kind.TimestampValue.CheckValid()
	case *batchv1.Value_BytesValue:
		return kind.BytesValue, nil
	case *batchv1.Value_StructValue:
		return fromWireFields(kind.StructValue)
	case *batchv1.Value_ListValue:
		list := make([]any, len(kind.ListValue.GetValues()))
		for number, item := range kind.ListValue.GetValues() {
			var err error
			if list[number], err = fromWireValue(item); err != nil {
				return nil, err
			}
		}
		return list, nil
	}
	return nil, errors.New("a value of no kind")
}

func toWireValue(value any) (*batchv1.Value, error) {
	switch value := value.(type) {
	case nil:
		return &batchv1.Value{Kind: &batchv1.Value_NullValue{}}, nil
	case string:
		return &batchv1.Value{Kind: &batchv1.Value_StringValue{StringValue: value}}, nil
	case int64:
		return &batchv1.Value{Kind: &batchv1.Value_IntegerValue{IntegerValue: value}}, nil
	case float64:
		return &batchv1.Value{Kind: &batchv1.Value_DoubleValue{DoubleValue: value}}, nil
	case bool:
		return &batchv1.Value{Kind: &batchv1.Value_BoolValue{BoolValue: value}}, nil
	case time.Time:
		return &batchv1.Value{Kind: &batchv1.Value_TimestampValue{TimestampValue: timestamppb.New(value)}}, nil
	case []byte:
		return &batchv1.Value{Kind: &batchv1.Value_BytesValue{BytesValue: value}}, nil
	case []any:
		list := &batchv1.ListValue{}
		for _, item := range value {
			wire, err := toWireValue(item)
			if err != nil {
				return nil, err
			}
			list.Values = append(list.Values, wire)
		}
		return &batchv1.Value{Kind: &batchv1.Value_ListValue{ListValue: list}}, nil
	case map[string]any:
		fields := make(map[string]*batchv1.Value, len(value))
		for name, item := range value {
			wire, err := toWireValue(item)
			if err != nil {
				return nil, err
			}
			fields[name] = wire
		}
		structure := &batchv1.StructValue{Fields: fields}
		return &batchv1.Value{Kind: &batchv1.Value_StructValue{StructValue: structure}}, nil
	}
	return nil, fmt.Errorf("no wire form for a %T", value)
}
