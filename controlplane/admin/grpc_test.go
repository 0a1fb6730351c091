package admin_test

import (
	"context"
	"slices"
	"testing"

	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	reflectionpb "google.golang.org/grpc/reflection/grpc_reflection_v1"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protodesc"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/reflect/protoregistry"
	"google.golang.org/protobuf/types/descriptorpb"
	"google.golang.org/protobuf/types/dynamicpb"
	"google.golang.org/protobuf/types/known/structpb"

	adminpb "github.com/gibbon-gateway/gibbon/gen/gibbon/admin/v1"
)

// dial connects to the same port that REST is on.
func dial(t *testing.T, address string) *grpc.ClientConn {
	t.Helper()
	conn, err := grpc.NewClient("passthrough:///"+address, grpc.WithTransportCredentials(insecure.NewCredentials()), grpc.WithAuthority("localhost"))
	if err != nil {
		t.Fatalf("NewClient: %v", err)
	}
	t.Cleanup(func() {
		if err := conn.Close(); err != nil {
			t.Errorf("close: %v", err)
		}
	})
	return conn
}

// reflected asks for what describes a symbol, with all files that it needs.
func reflected(t *testing.T, conn *grpc.ClientConn, symbols ...string) (services []string, files *protoregistry.Files) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	stream, err := reflectionpb.NewServerReflectionClient(conn).ServerReflectionInfo(ctx)
	if err != nil {
		t.Fatalf("reflection: %v", err)
	}
	ask := func(r *reflectionpb.ServerReflectionRequest) *reflectionpb.ServerReflectionResponse {
		if err := stream.Send(r); err != nil {
			t.Fatalf("reflection: %v", err)
		}
		out, err := stream.Recv()
		if err != nil {
			t.Fatalf("reflection: %v", err)
		}
		if e := out.GetErrorResponse(); e != nil {
			t.Fatalf("reflection of %v: %s", r, e.GetErrorMessage())
		}
		return out
	}
	list := ask(&reflectionpb.ServerReflectionRequest{MessageRequest: &reflectionpb.ServerReflectionRequest_ListServices{}})
	for _, s := range list.GetListServicesResponse().GetService() {
		services = append(services, s.GetName())
	}
	set, seen := &descriptorpb.FileDescriptorSet{}, map[string]bool{}
	for _, symbol := range symbols {
		out := ask(&reflectionpb.ServerReflectionRequest{MessageRequest: &reflectionpb.ServerReflectionRequest_FileContainingSymbol{FileContainingSymbol: symbol}})
		for _, raw := range out.GetFileDescriptorResponse().GetFileDescriptorProto() {
			file := &descriptorpb.FileDescriptorProto{}
			if err := proto.Unmarshal(raw, file); err != nil {
				t.Fatalf("descriptor: %v", err)
			}
			if !seen[file.GetName()] {
				seen[file.GetName()] = true
				set.File = append(set.File, file)
			}
		}
	}
	files, err = protodesc.NewFiles(set)
	if err != nil {
		t.Fatalf("descriptors: %v", err)
	}
	return services, files
}

// TestReflection calls the API as grpcurl does: knowing nothing but its
// address.
func TestReflection(t *testing.T) {
	s := newServer(t, nil)
	conn := dial(t, serve(t, s))
	services, files := reflected(t, conn, "gibbon.admin.v1.Entities", "gibbon.entity.v1.Service")
	for _, want := range []string{"gibbon.admin.v1.Entities", "gibbon.admin.v1.Node"} {
		if !slices.Contains(services, want) {
			t.Errorf("services %v lack %s", services, want)
		}
	}
	found, err := files.FindDescriptorByName("gibbon.entity.v1.Service")
	if err != nil || found.(protoreflect.MessageDescriptor).Fields().ByName("connect_timeout") == nil {
		t.Errorf("the service entity cannot be looked at: %v", err)
	}

	must(t, s, 201, "POST", "/services", "", `{"name":"from-rest","host":"h"}`)
	service, err := files.FindDescriptorByName("gibbon.admin.v1.Entities")
	if err != nil {
		t.Fatal(err)
	}
	get := service.(protoreflect.ServiceDescriptor).Methods().ByName("Get")
	in, out := dynamicpb.NewMessage(get.Input()), dynamicpb.NewMessage(get.Output())
	in.Set(get.Input().Fields().ByName("kind"), protoreflect.ValueOfString("services"))
	in.Set(get.Input().Fields().ByName("ref"), protoreflect.ValueOfString("from-rest"))
	if err := conn.Invoke(t.Context(), "/gibbon.admin.v1.Entities/Get", in, out); err != nil {
		t.Fatalf("Get: %v", err)
	}
	answer := &adminpb.EntityResponse{}
	raw, err := proto.Marshal(out)
	if err != nil {
		t.Fatal(err)
	}
	if err := proto.Unmarshal(raw, answer); err != nil {
		t.Fatal(err)
	}
	if host := answer.GetBody().GetFields()["host"].GetStringValue(); host != "h" {
		t.Errorf("gRPC sees host %q of what REST wrote, want h", host)
	}
	if _, isNull := answer.GetBody().GetFields()["path"].GetKind().(*structpb.Value_NullValue); !isNull {
		t.Errorf("an unset field is not null: %v", answer.GetBody().GetFields()["path"])
	}
}

func body(t *testing.T, members map[string]any) *structpb.Struct {
	t.Helper()
	s, err := structpb.NewStruct(members)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// TestGRPC runs every method over gRPC; REST sees what it wrote.
func TestGRPC(t *testing.T) {
	s := newServer(t, nil)
	c := adminpb.NewEntitiesClient(dial(t, serve(t, s)))
	ctx := t.Context()

	created, err := c.Create(ctx, &adminpb.CreateRequest{Kind: "services", Body: body(t, map[string]any{"name": "from-grpc", "host": "h", "port": 81})})
	if err != nil {
		t.Fatalf("Create: %v", err)
	}
	if got := must(t, s, 200, "GET", "/services/from-grpc", "", ""); got.Get("port").String() != "81" {
		t.Errorf("REST sees port %s, want 81", got.Get("port"))
	}
	if _, err := c.Create(ctx, &adminpb.CreateRequest{
		Kind: "routes", ParentKind: "services", Parent: "from-grpc", Body: body(t, map[string]any{"name": "r", "paths": []any{"/r"}}),
	}); err != nil {
		t.Fatalf("Create below a parent: %v", err)
	}
	if _, err := c.Update(ctx, &adminpb.UpdateRequest{Kind: "services", Ref: "from-grpc", Body: body(t, map[string]any{"retries": nil})}); err != nil {
		t.Fatalf("Update: %v", err)
	}
	if got := must(t, s, 200, "GET", "/services/from-grpc", "", ""); !got.Get("retries").IsNull() {
		t.Errorf("REST sees retries %s, want null", got.Get("retries"))
	}
	owner, err := c.Get(ctx, &adminpb.GetRequest{ParentKind: "routes", Parent: "r", Kind: "service", Ref: "-"})
	if err != nil {
		t.Fatalf("Get of a field: %v", err)
	}
	if got, want := owner.GetBody().GetFields()["id"].GetStringValue(), created.GetBody().GetFields()["id"].GetStringValue(); got != want {
		t.Errorf("the route's service is %s, want %s", got, want)
	}
	if _, err := c.Upsert(ctx, &adminpb.UpsertRequest{Kind: "consumers", Ref: "bob"}); err != nil {
		t.Fatalf("Upsert: %v", err)
	}
	// A kind may be named as the entity, too.
	if _, err := c.Create(ctx, &adminpb.CreateRequest{Kind: "keyauth_credentials", ParentKind: "consumers", Parent: "bob"}); err != nil {
		t.Fatalf("Create of a credential: %v", err)
	}
	list, err := c.List(ctx, &adminpb.ListRequest{Kind: "services", Size: 1})
	if err != nil || len(list.GetData()) != 1 || list.GetOffset() != "" {
		t.Errorf("List: %v, %v", list, err)
	}
	if _, err := c.Delete(ctx, &adminpb.DeleteRequest{Kind: "routes", Ref: "r"}); err != nil {
		t.Fatalf("Delete: %v", err)
	}
	must(t, s, 404, "GET", "/routes/r", "", "")
}

// TestGRPCErrors pins status, reason and Kong's body of errors over gRPC.
func TestGRPCErrors(t *testing.T) {
	s := newServer(t, nil)
	must(t, s, 201, "POST", "/services", "", `{"name":"taken","host":"h"}`)
	c := adminpb.NewEntitiesClient(dial(t, serve(t, s)))
	for _, tt := range []struct {
		name   string
		call   func() error
		code   codes.Code
		reason string
		kong   float64
	}{
		{"schema violation", func() error {
			_, err := c.Create(t.Context(), &adminpb.CreateRequest{Kind: "services"})
			return err
		}, codes.InvalidArgument, "SCHEMA_VIOLATION", 2},
		{"unique", func() error {
			_, err := c.Create(t.Context(), &adminpb.CreateRequest{Kind: "services", Body: body(t, map[string]any{"name": "taken", "host": "h"})})
			return err
		}, codes.AlreadyExists, "UNIQUE_CONSTRAINT_VIOLATION", 5},
		{"missing", func() error {
			_, err := c.Get(t.Context(), &adminpb.GetRequest{Kind: "services", Ref: "nope"})
			return err
		}, codes.NotFound, "NOT_FOUND", 0},
		{"unknown kind", func() error {
			_, err := c.List(t.Context(), &adminpb.ListRequest{Kind: "nope"})
			return err
		}, codes.NotFound, "NOT_FOUND", 0},
		{"empty ref", func() error {
			_, err := c.Get(t.Context(), &adminpb.GetRequest{Kind: "services"})
			return err
		}, codes.InvalidArgument, "INVALID_UNIQUE_NAME", 10},
		{"a parent without its kind", func() error {
			_, err := c.Delete(t.Context(), &adminpb.DeleteRequest{Kind: "services", Parent: "x", Ref: "taken"})
			return err
		}, codes.InvalidArgument, "BAD_REQUEST", 0},
		{"size", func() error {
			_, err := c.List(t.Context(), &adminpb.ListRequest{Kind: "services", Size: 1001})
			return err
		}, codes.InvalidArgument, "INVALID_SIZE", 9},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got := status.Convert(tt.call())
			if got.Code() != tt.code {
				t.Errorf("code is %s (%s), want %s", got.Code(), got.Message(), tt.code)
			}
			var info *errdetails.ErrorInfo
			var answer *structpb.Struct
			for _, d := range got.Details() {
				switch d := d.(type) {
				case *errdetails.ErrorInfo:
					info = d
				case *structpb.Struct:
					answer = d
				}
			}
			if info.GetReason() != tt.reason {
				t.Errorf("reason is %q, want %q", info.GetReason(), tt.reason)
			}
			if code := answer.GetFields()["code"].GetNumberValue(); code != tt.kong {
				t.Errorf("Kong's code is %v, want %v", code, tt.kong)
			}
			if answer.GetFields()["message"].GetStringValue() != got.Message() {
				t.Errorf("the body says %v, the status %q", answer, got.Message())
			}
		})
	}
}

// TestGRPCNarrowed asks over gRPC what REST has arguments of the query for.
func TestGRPCNarrowed(t *testing.T) {
	address := serve(t, newServer(t, nil))
	conn := dial(t, address)
	client := adminpb.NewEntitiesClient(conn)
	body := func(text string) *structpb.Struct {
		out := &structpb.Struct{}
		if err := out.UnmarshalJSON([]byte(text)); err != nil {
			t.Fatal(err)
		}
		return out
	}
	create := func(in *adminpb.CreateRequest) *structpb.Struct {
		t.Helper()
		out, err := client.Create(t.Context(), in)
		if err != nil {
			t.Fatalf("create %s: %v", in.GetKind(), err)
		}
		return out.GetBody()
	}
	for _, name := range []string{"b-shop", "a-shop", "c-other"} {
		create(&adminpb.CreateRequest{Kind: "services", Body: body(`{"name":"` + name + `","host":"h"}`)})
	}
	list, err := client.List(t.Context(), &adminpb.ListRequest{
		Kind: "services", SortBy: "name", SortDesc: true, Search: map[string]string{"name": "SHOP", "nope": "x"},
	})
	if err != nil {
		t.Fatalf("List: %v", err)
	}
	var names []string
	for _, s := range list.GetData() {
		names = append(names, s.GetFields()["name"].GetStringValue())
	}
	if want := []string{"b-shop", "a-shop"}; !slices.Equal(names, want) {
		t.Errorf("found %v, want %v", names, want)
	}

	create(&adminpb.CreateRequest{Kind: "consumers", Body: body(`{"username":"bob"}`)})
	const hash = "0123456789abcdef0123456789abcdef01234567"
	one := create(&adminpb.CreateRequest{
		Kind: "basic-auth", ParentKind: "consumers", Parent: "bob", SkipHash: true, Body: body(`{"username":"bob","password":"` + hash + `"}`),
	})
	if got := one.GetFields()["password"].GetStringValue(); got != hash {
		t.Errorf("the password is %q, want the hash that was sent", got)
	}

	create(&adminpb.CreateRequest{Kind: "upstreams", Body: body(`{"name":"up"}`)})
	target := create(&adminpb.CreateRequest{Kind: "targets", ParentKind: "upstreams", Parent: "up", Body: body(`{"target":"10.0.0.1:80"}`)})
	id := target.GetFields()["id"].GetStringValue()
	if _, err := client.Get(t.Context(), &adminpb.GetRequest{Kind: "targets", Ref: id}); status.Code(err) != codes.NotFound {
		t.Errorf("a target that is not asked for below its upstream: got %v, want NotFound", err)
	}
	if _, err := client.Get(t.Context(), &adminpb.GetRequest{Kind: "targets", ParentKind: "upstreams", Parent: "up", Ref: "10.0.0.1:80"}); err != nil {
		t.Errorf("a target below its upstream: %v", err)
	}
	health, err := adminpb.NewUpstreamsClient(conn).Health(t.Context(), &adminpb.HealthRequest{Upstreams: "up"})
	if err != nil || len(health.GetBody().GetFields()["data"].GetListValue().GetValues()) != 1 {
		t.Errorf("health of the upstream: got %v, %v", health, err)
	}
	groups := adminpb.NewConsumerGroupsClient(conn)
	create(&adminpb.CreateRequest{Kind: "consumer_groups", Body: body(`{"name":"gold"}`)})
	if _, err := groups.AddMembers(t.Context(), &adminpb.JoinRequest{ConsumerGroups: "gold", Body: body(`{"consumer":"bob"}`)}); err != nil {
		t.Errorf("AddMembers: %v", err)
	}
	members, err := groups.ListMembers(t.Context(), &adminpb.MembershipsRequest{ConsumerGroups: "gold"})
	if err != nil || len(members.GetData()) != 1 {
		t.Errorf("the members are %v, %v", members, err)
	}
}
