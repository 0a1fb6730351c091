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

// serving is the service that server implements, with what was generated for it.
func serving[S, C any](
	name protoreflect.Name, server S, register func(grpc.ServiceRegistrar, S),
	client func(grpc.ClientConnInterface) C, bind func(context.Context, *runtime.ServeMux, C) error,
) service {
	return service{
		name,
		func(r grpc.ServiceRegistrar) { register(r, server) },
		func(ctx context.Context, mux *runtime.ServeMux, conn grpc.ClientConnInterface) error {
			return bind(ctx, mux, client(conn))
		},
	}
}

// services are all services. Where a path fits methods of two of them, the later
// one is meant, so the generic one comes first. Paths of all but that one are
// fixed.
func (s *Server) services() []service {
	return []service{
		serving[adminpb.EntitiesServer]("Entities", &entities{server: s}, adminpb.RegisterEntitiesServer, adminpb.NewEntitiesClient, adminpb.RegisterEntitiesHandlerClient),
		serving[adminpb.WorkspacesServer]("Workspaces", &workspaces{server: s}, adminpb.RegisterWorkspacesServer, adminpb.NewWorkspacesClient, adminpb.RegisterWorkspacesHandlerClient),
		serving[adminpb.ConsumerGroupsServer]("ConsumerGroups", &consumerGroups{server: s}, adminpb.RegisterConsumerGroupsServer, adminpb.NewConsumerGroupsClient, adminpb.RegisterConsumerGroupsHandlerClient),
		serving[adminpb.UpstreamsServer]("Upstreams", &upstreams{server: s}, adminpb.RegisterUpstreamsServer, adminpb.NewUpstreamsClient, adminpb.RegisterUpstreamsHandlerClient),
		serving[adminpb.DeclarativeServer]("Declarative", &config{server: s}, adminpb.RegisterDeclarativeServer, adminpb.NewDeclarativeClient, adminpb.RegisterDeclarativeHandlerClient),
		serving[adminpb.NodeServer]("Node", &node{server: s}, adminpb.RegisterNodeServer, adminpb.NewNodeClient, adminpb.RegisterNodeHandlerClient),
		serving[adminpb.HistoryServer]("History", &versions{server: s}, adminpb.RegisterHistoryServer, adminpb.NewHistoryClient, adminpb.RegisterHistoryHandlerClient),
		serving[adminpb.PartsServer]("Parts", &parts{server: s}, adminpb.RegisterPartsServer, adminpb.NewPartsClient, adminpb.RegisterPartsHandlerClient),
	}
}
