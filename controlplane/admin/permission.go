package admin

import (
	"cmp"
	"context"
	"runtime/debug"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/peer"
	"google.golang.org/grpc/status"

	adminpb "github.com/gibbon-gateway/gibbon/gen/gibbon/admin/v1"
)

// permission is what a caller must hold to call a method. It is compared with a
// role: each role holds the permission of its number and those below.
type permission uint8

const (
	// denied is the zero value: a method that the table lacks.
	denied permission = iota
	// observe tells what the program is and how it fares, nothing of the
	// entities.
	observe
	// read shows entities.
	read
	// write changes entities, or how the node runs.
	write
)

// permissions is the one place that opens a method. A method that is not here
// is refused, over gRPC as over REST, whatever the caller's role. None is open to
// callers who have not said who they are.
var permissions = map[string]permission{
	adminpb.Entities_List_FullMethodName:   read,
	adminpb.Entities_Get_FullMethodName:    read,
	adminpb.Entities_Create_FullMethodName: write,
	adminpb.Entities_Update_FullMethodName: write,
	adminpb.Entities_Upsert_FullMethodName: write,
	adminpb.Entities_Delete_FullMethodName: write,

	adminpb.Workspaces_Meta_FullMethodName: read,

	adminpb.Declarative_GetConfig_FullMethodName:  read,
	adminpb.Declarative_LoadConfig_FullMethodName: write,

	adminpb.ConsumerGroups_ListMembers_FullMethodName:    read,
	adminpb.ConsumerGroups_AddMembers_FullMethodName:     write,
	adminpb.ConsumerGroups_RemoveMembers_FullMethodName:  write,
	adminpb.ConsumerGroups_GetMember_FullMethodName:      read,
	adminpb.ConsumerGroups_RemoveMember_FullMethodName:   write,
	adminpb.ConsumerGroups_ListGroups_FullMethodName:     read,
	adminpb.ConsumerGroups_JoinGroups_FullMethodName:     write,
	adminpb.ConsumerGroups_LeaveGroups_FullMethodName:    write,
	adminpb.ConsumerGroups_GetGroup_FullMethodName:       read,
	adminpb.ConsumerGroups_PutOverride_FullMethodName:    write,
	adminpb.ConsumerGroups_DeleteOverride_FullMethodName: write,

	adminpb.History_Versions_FullMethodName: read,
	adminpb.History_Version_FullMethodName:  read,
	adminpb.History_Diff_FullMethodName:     read,
	adminpb.History_Rollback_FullMethodName: write,

	adminpb.Upstreams_Health_FullMethodName:        read,
	adminpb.Upstreams_AllTargets_FullMethodName:    read,
	adminpb.Upstreams_MarkHealthy_FullMethodName:   write,
	adminpb.Upstreams_MarkUnhealthy_FullMethodName: write,

	adminpb.Parts_VaultSchema_FullMethodName:     observe,
	adminpb.Parts_ValidateVault_FullMethodName:   read,
	adminpb.Parts_PartialSchema_FullMethodName:   observe,
	adminpb.Parts_ValidatePartial_FullMethodName: read,
	adminpb.Parts_PartialLinks_FullMethodName:    read,
	adminpb.Parts_FilterSchema_FullMethodName:    observe,
	adminpb.Parts_RouteFilters_FullMethodName:    read,

	adminpb.Node_Info_FullMethodName:                   observe,
	adminpb.Node_Status_FullMethodName:                 observe,
	adminpb.Node_DNSStatus_FullMethodName:              observe,
	adminpb.Node_LogLevel_FullMethodName:               observe,
	adminpb.Node_SetLogLevel_FullMethodName:            write,
	adminpb.Node_SetClusterLogLevel_FullMethodName:     write,
	adminpb.Node_CacheEntry_FullMethodName:             read,
	adminpb.Node_PurgeCache_FullMethodName:             write,
	adminpb.Node_Endpoints_FullMethodName:              observe,
	adminpb.Node_Timers_FullMethodName:                 observe,
	adminpb.Node_EnabledPlugins_FullMethodName:         observe,
	adminpb.Node_PluginConfigSchema_FullMethodName:     observe,
	adminpb.Node_Schema_FullMethodName:                 observe,
	adminpb.Node_PluginSchema_FullMethodName:           observe,
	adminpb.Node_Validate_FullMethodName:               read,
	adminpb.Node_ValidatePlugin_FullMethodName:         read,
	adminpb.Node_Tags_FullMethodName:                   read,
	adminpb.Node_CreateTag_FullMethodName:              write,
	adminpb.Node_DataPlanes_FullMethodName:             observe,
	adminpb.Node_DataPlaneLogLevel_FullMethodName:      observe,
	adminpb.Node_SetDataPlaneLogLevel_FullMethodName:   write,
	adminpb.Node_ResetDataPlaneLogLevel_FullMethodName: write,
	adminpb.Node_ClusterStatus_FullMethodName:          observe,

	"/grpc.reflection.v1.ServerReflection/ServerReflectionInfo":      observe,
	"/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo": observe,
}

// admit decides whether the caller may run a method now.
func (s *Server) admit(ctx context.Context, method string) error {
	need := permissions[method]
	if need == denied {
		return status.Errorf(codes.PermissionDenied, "%s has no permission entry", method)
	}
	who, known := callerOf(ctx)
	switch {
	case !known:
		return errNoCredentials()
	case permission(who.role) < need:
		return errForbidden(who)
	case method == adminpb.Declarative_LoadConfig_FullMethodName && s.draining.Load() && s.withoutDatabase():
		return errExiting() // Kong's own words
	case need == write && s.draining.Load():
		return errDraining()
	}
	return nil
}

// interceptors are those of every unary call, the outermost first. REST calls
// pass through the same ones.
func (s *Server) interceptors() []grpc.UnaryServerInterceptor {
	return []grpc.UnaryServerInterceptor{s.observe, s.guard, s.enter}
}

// guard refuses what has no permission.
func (s *Server) guard(ctx context.Context, in any, info *grpc.UnaryServerInfo, next grpc.UnaryHandler) (any, error) {
	if err := s.admit(ctx, info.FullMethod); err != nil {
		return nil, err
	}
	return next(ctx, in)
}

// guardStream is guard for streams, of which reflection is the only one.
func (s *Server) guardStream(server any, stream grpc.ServerStream, info *grpc.StreamServerInfo, next grpc.StreamHandler) error {
	if err := s.admit(stream.Context(), info.FullMethod); err != nil {
		return err
	}
	return next(server, stream)
}

// callTime bounds a call as a whole, besides the bounds that the store keeps
// for each exchange with its database.
const callTime = 30 * time.Second

// longCalls are those that write a whole configuration, and how long they may take.
var longCalls = map[string]time.Duration{
	adminpb.Declarative_LoadConfig_FullMethodName: loadTime + callTime, // to load it, and to show it
	adminpb.History_Rollback_FullMethodName:       loadTime,
}

// observe turns every error into one of Kong's, logs what clients are not told,
// and makes a panic cost one call. Calls over gRPC get their line in the access
// log here, REST calls get theirs from the edge.
func (s *Server) observe(ctx context.Context, in any, info *grpc.UnaryServerInfo, next grpc.UnaryHandler) (out any, err error) {
	start := time.Now()
	ctx, cancel := context.WithTimeout(ctx, cmp.Or(longCalls[info.FullMethod], callTime))
	defer cancel()
	defer func() {
		if p := recover(); p != nil {
			s.cfg.Log.ErrorContext(ctx, "admin call panicked", "method", info.FullMethod, "panic", p, "stack", string(debug.Stack()))
			err = unexpected(nil)
		}
		var failed *Error
		if err != nil {
			out, failed = nil, asError(err)
			err = failed
			if failed.cause != nil {
				s.cfg.Log.ErrorContext(ctx, "admin call failed", "method", info.FullMethod, "error", failed.cause)
			}
		}
		if carried(ctx) != nil {
			return
		}
		code := codes.OK
		if failed != nil {
			code = failed.GRPCStatus().Code()
		}
		client := ""
		if p, ok := peer.FromContext(ctx); ok {
			client = p.Addr.String()
		}
		s.cfg.Log.InfoContext(ctx, "admin", "protocol", "grpc", "method", info.FullMethod, "code", code.String(),
			"client", client, "actor", actorOf(ctx), "latency", time.Since(start))
	}()
	return next(ctx, in)
}
