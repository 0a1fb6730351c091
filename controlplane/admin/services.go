package admin

import (
	"context"

	"github.com/grpc-ecosystem/grpc-gateway/v2/runtime"
	"google.golang.org/grpc"
	"google.golang.org/protobuf/reflect/protoreflect"

	// The messages of the entities and plugins are for those who look at the
	// API by reflection; the schemas link them in any case.
	adminpb "github.com/gibbon-gateway/gibbon/gen/gibbon/admin/v1"
)

// service is one gRPC service of the Admin API.
type service struct {
	name protoreflect.Name
	// register offers it to callers of gRPC, and bind to those of REST.
	register func(grpc.ServiceRegistrar)
	bind     func(context.Context, *runtime.ServeMux, grpc.ClientConnInterface) error
}

// services are all services. Where a path fits methods of two of them, the later
// one is meant, so the generic one comes first. Paths of all but that one are
// fixed.
func (s *Server) services() []service {
	return []service{
		{
			"Entities",
			func(r grpc.ServiceRegistrar) { adminpb.RegisterEntitiesServer(r, &entities{server: s}) },
			func(ctx context.Context, mux *runtime.ServeMux, conn grpc.ClientConnInterface) error {
				return adminpb.RegisterEntitiesHandlerClient(ctx, mux, adminpb.NewEntitiesClient(conn))
			},
		},
		{
			"Workspaces",
			func(r grpc.ServiceRegistrar) { adminpb.RegisterWorkspacesServer(r, &workspaces{server: s}) },
			func(ctx context.Context, mux *runtime.ServeMux, conn grpc.ClientConnInterface) error {
				return adminpb.RegisterWorkspacesHandlerClient(ctx, mux, adminpb.NewWorkspacesClient(conn))
			},
		},
		{
			"ConsumerGroups",
			func(r grpc.ServiceRegistrar) { adminpb.RegisterConsumerGroupsServer(r, &consumerGroups{server: s}) },
			func(ctx context.Context, mux *runtime.ServeMux, conn grpc.ClientConnInterface) error {
				return adminpb.RegisterConsumerGroupsHandlerClient(ctx, mux, adminpb.NewConsumerGroupsClient(conn))
			},
		},
		{
			"Upstreams",
			func(r grpc.ServiceRegistrar) { adminpb.RegisterUpstreamsServer(r, &upstreams{server: s}) },
			func(ctx context.Context, mux *runtime.ServeMux, conn grpc.ClientConnInterface) error {
				return adminpb.RegisterUpstreamsHandlerClient(ctx, mux, adminpb.NewUpstreamsClient(conn))
			},
		},
		{
			"Declarative",
			func(r grpc.ServiceRegistrar) { adminpb.RegisterDeclarativeServer(r, &config{server: s}) },
			func(ctx context.Context, mux *runtime.ServeMux, conn grpc.ClientConnInterface) error {
				return adminpb.RegisterDeclarativeHandlerClient(ctx, mux, adminpb.NewDeclarativeClient(conn))
			},
		},
		{
			"Node",
			func(r grpc.ServiceRegistrar) { adminpb.RegisterNodeServer(r, &node{server: s}) },
			func(ctx context.Context, mux *runtime.ServeMux, conn grpc.ClientConnInterface) error {
				return adminpb.RegisterNodeHandlerClient(ctx, mux, adminpb.NewNodeClient(conn))
			},
		},
		{
			"History",
			func(r grpc.ServiceRegistrar) { adminpb.RegisterHistoryServer(r, &versions{server: s}) },
			func(ctx context.Context, mux *runtime.ServeMux, conn grpc.ClientConnInterface) error {
				return adminpb.RegisterHistoryHandlerClient(ctx, mux, adminpb.NewHistoryClient(conn))
			},
		},
		{
			"Parts",
			func(r grpc.ServiceRegistrar) { adminpb.RegisterPartsServer(r, &parts{server: s}) },
			func(ctx context.Context, mux *runtime.ServeMux, conn grpc.ClientConnInterface) error {
				return adminpb.RegisterPartsHandlerClient(ctx, mux, adminpb.NewPartsClient(conn))
			},
		},
	}
}
