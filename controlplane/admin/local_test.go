package admin

import (
	"context"
	"errors"
	"testing"

	"github.com/google/go-cmp/cmp"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"

	adminpb "github.com/gibbon-gateway/gibbon/gen/gibbon/admin/v1"
)

// echoServer answers with what it was asked, and sends metadata.
type echoServer struct {
	adminpb.UnimplementedNodeServer
}

var errEcho = errors.New("no kind")

func (echoServer) Validate(ctx context.Context, in *adminpb.ValidateRequest) (*adminpb.ValidateResponse, error) {
	if in.GetKind() == "" {
		return nil, errEcho
	}
	if err := grpc.SetHeader(ctx, metadata.Pairs("a", "1")); err != nil {
		return nil, err
	}
	md, _ := metadata.FromIncomingContext(ctx)
	return &adminpb.ValidateResponse{Message: in.GetKind() + md.Get("sent")[0]}, grpc.SetTrailer(ctx, metadata.Pairs("b", "2"))
}

// TestLocal asks of the connection in this process what a real one does.
func TestLocal(t *testing.T) {
	var order []string
	note := func(name string) grpc.UnaryServerInterceptor {
		return func(ctx context.Context, in any, info *grpc.UnaryServerInfo, next grpc.UnaryHandler) (any, error) {
			order = append(order, name+" "+info.FullMethod)
			return next(ctx, in)
		}
	}
	l := newLocal([]grpc.UnaryServerInterceptor{note("outer"), note("inner")})
	adminpb.RegisterNodeServer(l, echoServer{})
	client := adminpb.NewNodeClient(l)

	var header, trailer metadata.MD
	ctx := metadata.AppendToOutgoingContext(t.Context(), "sent", "!")
	out, err := client.Validate(ctx, &adminpb.ValidateRequest{Kind: "k"}, grpc.Header(&header), grpc.Trailer(&trailer))
	if err != nil || out.GetMessage() != "k!" {
		t.Errorf("got %v, %v", out, err)
	}
	if header.Get("a")[0] != "1" || trailer.Get("b")[0] != "2" {
		t.Errorf("header %v, trailer %v", header, trailer)
	}
	const method = " /gibbon.admin.v1.Node/Validate"
	if diff := cmp.Diff([]string{"outer" + method, "inner" + method}, order); diff != "" {
		t.Errorf("interceptors (-want +got):\n%s", diff)
	}
	if _, err := client.Validate(ctx, &adminpb.ValidateRequest{}); !errors.Is(err, errEcho) {
		t.Errorf("the method's error came as %v", err)
	}
	if err := l.Invoke(ctx, "/x/Y", &adminpb.InfoRequest{}, &adminpb.DocumentResponse{}); status.Code(err) != codes.Unimplemented {
		t.Errorf("an unknown method gave %v", err)
	}
	if _, err := l.NewStream(ctx, nil, "/x/Y"); status.Code(err) != codes.Unimplemented {
		t.Errorf("a stream gave %v", err)
	}
}
