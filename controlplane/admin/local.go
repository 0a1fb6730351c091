package admin

import (
	"context"
	"fmt"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"
)

// local is a client connection to services in this process. Unlike the mux's
// direct registration it runs the interceptors, and unlike a pipe it keeps the
// context and copies no bytes. It carries unary calls only.
type local struct {
	interceptor grpc.UnaryServerInterceptor
	methods     map[string]localMethod
}

type localMethod struct {
	server  any
	handler grpc.MethodHandler
}

var (
	_ grpc.ClientConnInterface = (*local)(nil)
	_ grpc.ServiceRegistrar    = (*local)(nil)
)

// newLocal returns a connection whose calls pass through the interceptors, the
// first one outermost.
func newLocal(interceptors []grpc.UnaryServerInterceptor) *local {
	return &local{interceptor: chain(interceptors), methods: map[string]localMethod{}}
}

func chain(interceptors []grpc.UnaryServerInterceptor) grpc.UnaryServerInterceptor {
	return func(ctx context.Context, in any, info *grpc.UnaryServerInfo, handler grpc.UnaryHandler) (any, error) {
		for i := len(interceptors) - 1; i >= 0; i-- {
			next, interceptor := handler, interceptors[i]
			handler = func(ctx context.Context, in any) (any, error) { return interceptor(ctx, in, info, next) }
		}
		return handler(ctx, in)
	}
}

// RegisterService implements grpc.ServiceRegistrar. It is called before the
// first call.
func (l *local) RegisterService(desc *grpc.ServiceDesc, server any) {
	for _, m := range desc.Methods {
		l.methods["/"+desc.ServiceName+"/"+m.MethodName] = localMethod{server, m.Handler}
	}
}

// Invoke implements grpc.ClientConnInterface. An error is the one that the
// method or an interceptor returned.
func (l *local) Invoke(ctx context.Context, method string, in, out any, opts ...grpc.CallOption) error {
	m, ok := l.methods[method]
	if !ok {
		return status.Errorf(codes.Unimplemented, "unknown method %s", method)
	}
	request, ok := in.(proto.Message)
	if !ok {
		return fmt.Errorf("call %s: %T is no message", method, in)
	}
	response, ok := out.(proto.Message)
	if !ok {
		return fmt.Errorf("call %s: %T is no message", method, out)
	}
	md, _ := metadata.FromOutgoingContext(ctx)
	stream := &localStream{method: method}
	ctx = grpc.NewContextWithServerTransportStream(metadata.NewIncomingContext(ctx, md), stream)
	result, err := m.handler(m.server, ctx, func(into any) error {
		proto.Merge(into.(proto.Message), request)
		return nil
	}, l.interceptor)
	for _, o := range opts {
		switch o := o.(type) {
		case grpc.HeaderCallOption:
			*o.HeaderAddr = stream.header
		case grpc.TrailerCallOption:
			*o.TrailerAddr = stream.trailer
		}
	}
	if err != nil {
		return err
	}
	proto.Merge(response, result.(proto.Message))
	return nil
}

// NewStream implements grpc.ClientConnInterface: there are no streams here.
func (l *local) NewStream(_ context.Context, _ *grpc.StreamDesc, method string, _ ...grpc.CallOption) (grpc.ClientStream, error) {
	return nil, status.Errorf(codes.Unimplemented, "%s is a stream", method)
}

// localStream collects the metadata that a method sends.
type localStream struct {
	method          string
	header, trailer metadata.MD
}

var _ grpc.ServerTransportStream = (*localStream)(nil)

func (s *localStream) Method() string { return s.method }

func (s *localStream) SetHeader(md metadata.MD) error {
	s.header = metadata.Join(s.header, md)
	return nil
}

func (s *localStream) SendHeader(md metadata.MD) error { return s.SetHeader(md) }

func (s *localStream) SetTrailer(md metadata.MD) error {
	s.trailer = metadata.Join(s.trailer, md)
	return nil
}
