package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"time"

	"github.com/hashicorp/go-plugin"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/reflection/grpc_reflection_v1"
	"google.golang.org/grpc/status"

	"goplugin/interop/internal/kvv1"
	"goplugin/interop/internal/probe"
	"goplugin/interop/internal/probev1"
)

// operation does one step and returns what the report shows as its result.
type operation func(ctx context.Context, s *session, step step) (any, error)

var operations map[string]operation

func init() { // not in the declaration: kill, by way of session, refers to operations
	operations = map[string]operation{
		"ping":        ping,
		"health":      health,
		"reflect":     reflectServices,
		"echo":        echo,
		"big":         big,
		"add":         add,
		"print":       printText,
		"log":         logRecordStep,
		"sleep":       sleep,
		"stream":      streamNumbers,
		"fail":        fail,
		"call_back":   callBack,
		"call_in":     callIn,
		"call_both":   callBoth,
		"call_nobody": callNobody,
		"environment": environment,
		"descriptors": descriptors,
		"kv_put":      put,
		"kv_get":      get,
		"exit":        exit,
		"wait_exit":   waitExit,
		"wait_stdout": waitStdout,
		"wait_stderr": waitStderr,
		"wait_log":    waitLog,
		"exited":      exited,
		"kill":        kill,

		"start_again":  startAgain,
		"secure_again": secureAgain,
	}
}

func ping(_ context.Context, s *session, _ step) (any, error) {
	protocol, err := s.client.Client()
	if err != nil {
		return nil, err
	}
	return nil, protocol.Ping()
}

func health(ctx context.Context, s *session, step step) (any, error) {
	client := grpc_health_v1.NewHealthClient(s.probe.Connection)
	answer, err := client.Check(ctx, &grpc_health_v1.HealthCheckRequest{Service: step.Service})
	return answer.GetStatus().String(), err
}

// reflectServices speaks to both versions of the service with the messages of v1: they are alike on the wire.
func reflectServices(ctx context.Context, s *session, step step) (any, error) {
	service := "grpc.reflection.v1.ServerReflection"
	if step.V1Alpha {
		service = "grpc.reflection.v1alpha.ServerReflection"
	}
	description := &grpc.StreamDesc{ClientStreams: true, ServerStreams: true}
	stream, err := s.probe.Connection.NewStream(ctx, description, "/"+service+"/ServerReflectionInfo")
	if err != nil {
		return nil, err
	}
	request := &grpc_reflection_v1.ServerReflectionRequest{
		MessageRequest: &grpc_reflection_v1.ServerReflectionRequest_ListServices{},
	}
	// EOF: the call is over, and RecvMsg tells why.
	if err := stream.SendMsg(request); err != nil && !errors.Is(err, io.EOF) {
		return nil, err
	}
	var answer grpc_reflection_v1.ServerReflectionResponse
	if err := stream.RecvMsg(&answer); err != nil {
		return nil, err
	}
	names := []string{}
	for _, service := range answer.GetListServicesResponse().GetService() {
		names = append(names, service.Name)
	}
	slices.Sort(names)
	return names, stream.CloseSend()
}

func echo(ctx context.Context, s *session, step step) (any, error) {
	answer, err := s.probe.Echo(ctx, &probev1.EchoRequest{Data: step.payload()})
	return append([]byte{}, answer.GetData()...), err
}

func big(ctx context.Context, s *session, step step) (any, error) {
	data := bytes.Repeat([]byte("0123456789abcdef"), step.Bytes/16+1)[:step.Bytes]
	answer, err := s.probe.Echo(ctx, &probev1.EchoRequest{Data: data})
	if err != nil {
		return nil, err
	}
	if !bytes.Equal(answer.Data, data) {
		return nil, fmt.Errorf("sent %d bytes, other %d bytes came back", len(data), len(answer.Data))
	}
	return len(data), nil
}

func add(ctx context.Context, s *session, step step) (any, error) {
	answer, err := s.probe.Add(ctx, &probev1.AddRequest{A: step.A, B: step.B})
	return answer.GetSum(), err
}

func printText(ctx context.Context, s *session, step step) (any, error) {
	channels := map[string]probev1.Channel{
		"stdout": probev1.Channel_CHANNEL_STDOUT, "stderr": probev1.Channel_CHANNEL_STDERR,
	}
	_, err := s.probe.Print(ctx, &probev1.PrintRequest{
		Channel: channels[step.Channel], Text: step.payload(), Times: max(step.Times, 1),
	})
	return nil, err
}

func logRecordStep(ctx context.Context, s *session, step step) (any, error) {
	_, err := s.probe.Log(ctx, &probev1.LogRequest{
		Level: step.Level, Message: step.Message, Fields: step.Fields,
	})
	return nil, err
}

func sleep(ctx context.Context, s *session, step step) (any, error) {
	_, err := s.probe.Sleep(ctx, &probev1.SleepRequest{Milliseconds: step.Milliseconds})
	return nil, err
}

func streamNumbers(ctx context.Context, s *session, step step) (any, error) {
	stream, err := s.probe.Stream(ctx, &probev1.StreamRequest{Count: step.Count})
	if err != nil {
		return nil, err
	}
	numbers := []uint32{}
	for {
		answer, err := stream.Recv()
		if errors.Is(err, io.EOF) {
			return numbers, nil
		}
		if err != nil {
			return nil, err
		}
		numbers = append(numbers, answer.Number)
	}
}

func fail(ctx context.Context, s *session, step step) (any, error) {
	_, err := s.probe.Fail(ctx, &probev1.FailRequest{Code: uint32(step.Code), Message: step.Message})
	got, want := status.Convert(err), codes.Code(step.Code)
	if got.Code() != want || got.Message() != step.Message {
		return nil, fmt.Errorf("asked for %v %q, got %v %q", want, step.Message, got.Code(), got.Message())
	}
	return map[string]any{"code": step.Code, "message": step.Message}, nil
}

// callBack has the plugin call servers of this host, all at once, each of which is a brokered connection.
func callBack(ctx context.Context, s *session, step step) (any, error) {
	return eachAtOnce(step, s.calledBack(ctx, step.payload()))
}

// callIn calls servers of the plugin, all at once, each of which is a brokered connection.
func callIn(ctx context.Context, s *session, step step) (any, error) {
	return eachAtOnce(step, s.calledIn(ctx, step.payload()))
}

func callBoth(ctx context.Context, s *session, step step) (any, error) {
	return eachAtOnce(step, s.calledBack(ctx, step.payload()), s.calledIn(ctx, step.payload()))
}

// callNobody has both sides dial an id that neither serves, and reports what each of them gets for it.
func callNobody(ctx context.Context, s *session, _ step) (any, error) {
	id, plugin := s.probe.Broker.NextId(), make(chan error, 1)
	go func() {
		_, err := s.probe.CallBack(ctx, &probev1.CallBackRequest{ServiceId: id})
		plugin <- err
	}()
	_, ours := s.echoOver(ctx, id, nil)
	theirs := <-plugin
	if ours == nil || theirs == nil {
		return nil, fmt.Errorf("somebody answered: this host got %v, the plugin %v", ours, theirs)
	}
	return map[string]string{"host": ours.Error(), "plugin": theirs.Error()}, nil
}

func (s *session) calledBack(ctx context.Context, data []byte) func() ([]byte, error) {
	return func() ([]byte, error) {
		id := s.probe.Broker.NextId()
		go probe.ServeBrokered(s.probe.Broker, id)
		answer, err := s.probe.CallBack(ctx, &probev1.CallBackRequest{ServiceId: id, Data: data})
		return answer.GetData(), err
	}
}

func (s *session) calledIn(ctx context.Context, data []byte) func() ([]byte, error) {
	return func() ([]byte, error) {
		id := s.probe.Broker.NextId()
		if _, err := s.probe.Serve(ctx, &probev1.ServeRequest{ServiceId: id}); err != nil {
			return nil, err
		}
		return s.echoOver(ctx, id, data)
	}
}

// echoOver dials what the plugin serves.
func (s *session) echoOver(ctx context.Context, id uint32, data []byte) ([]byte, error) {
	connection, err := s.probe.Broker.Dial(id)
	if err != nil {
		return nil, err
	}
	defer func() { _ = connection.Close() }()
	answer, err := probev1.NewProbeClient(connection).Echo(ctx, &probev1.EchoRequest{Data: data})
	return answer.GetData(), err
}

// eachAtOnce makes step.Count calls of each kind and reports how many of them echoed what they were given.
func eachAtOnce(step step, calls ...func() ([]byte, error)) (any, error) {
	results, wanted := make(chan error), int(step.Count)*len(calls)
	for number := range wanted {
		go func() {
			data, err := calls[number%len(calls)]()
			if err == nil && !bytes.Equal(data, step.payload()) {
				err = fmt.Errorf("sent %q, %q came back", step.payload(), data)
			}
			results <- err
		}()
	}
	var failures []error
	for range wanted {
		if err := <-results; err != nil {
			failures = append(failures, err)
		}
	}
	return wanted - len(failures), errors.Join(failures...)
}

func environment(ctx context.Context, s *session, step step) (any, error) {
	answer, err := s.probe.Environment(ctx, &probev1.EnvironmentRequest{Names: step.Names})
	if answer.GetVariables() == nil {
		return map[string]string{}, err
	}
	return answer.Variables, err
}

func descriptors(ctx context.Context, s *session, _ step) (any, error) {
	answer, err := s.probe.Descriptors(ctx, &probev1.DescriptorsRequest{})
	return answer.GetOpen(), err
}

func put(ctx context.Context, s *session, step step) (any, error) {
	_, err := s.store.Put(ctx, &kvv1.PutRequest{Key: step.Key, Value: step.payload()})
	return nil, err
}

func get(ctx context.Context, s *session, step step) (any, error) {
	answer, err := s.store.Get(ctx, &kvv1.GetRequest{Key: step.Key})
	return append([]byte{}, answer.GetValue()...), err
}

// exit ignores the answer: a process that ends at once sends none.
func exit(ctx context.Context, s *session, step step) (any, error) {
	_, _ = s.probe.Exit(ctx, &probev1.ExitRequest{Code: step.Code})
	return waitExit(ctx, s, step)
}

func waitExit(ctx context.Context, s *session, _ step) (any, error) {
	return nil, until(ctx, s.client.Exited)
}

func waitStdout(ctx context.Context, s *session, step step) (any, error) {
	return nil, until(ctx, func() bool { return s.stdout.contains(step.Contains) })
}

func waitStderr(ctx context.Context, s *session, step step) (any, error) {
	return nil, until(ctx, func() bool { return s.stderr.contains(step.Contains) })
}

func waitLog(ctx context.Context, s *session, step step) (any, error) {
	return nil, until(ctx, func() bool { return s.journal.contains(step.Contains) })
}

func exited(_ context.Context, s *session, _ step) (any, error) {
	return s.client.Exited(), nil
}

func kill(_ context.Context, s *session, _ step) (any, error) {
	return nil, s.kill()
}

// until looks every few milliseconds; its caller's context is the limit.
func until(ctx context.Context, holds func() bool) error {
	ticker := time.NewTicker(2 * time.Millisecond)
	defer ticker.Stop()
	for !holds() {
		select {
		case <-ticker.C:
		case <-ctx.Done():
			return status.FromContextError(ctx.Err()).Err()
		}
	}
	return nil
}

func startAgain(_ context.Context, s *session, _ step) (any, error) {
	address, err := s.client.Start()
	if err != nil {
		return nil, err
	}
	return address.String(), nil
}

func secureAgain(_ context.Context, s *session, _ step) (any, error) {
	first := s.command
	defer func() { s.command = first }()
	config, err := s.config()
	if err != nil {
		return nil, err
	}
	client := plugin.NewClient(config)
	defer client.Kill()
	_, err = client.Start()
	return nil, err
}
