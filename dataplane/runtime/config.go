package runtime

import (
	"fmt"

	"google.golang.org/protobuf/proto"

	clusterpb "github.com/gibbon-gateway/gibbon/gen/gibbon/cluster/v1"
	entitypb "github.com/gibbon-gateway/gibbon/gen/gibbon/entity/v1"
)

// Format is the layout of snapshots that this package reads.
const Format = 1

// Config is a snapshot with its entities decoded: what Build works from.
type Config struct {
	Services     []*entitypb.Service
	Routes       []*entitypb.Route
	Plugins      []*entitypb.Plugin
	Consumers    []*entitypb.Consumer
	Certificates []*entitypb.Certificate
	Keys         []*entitypb.KeyauthCredential
}

// Decode reads the entities of a snapshot. Kinds that a data plane has no use
// for are passed over; the control plane says which kinds a node must know.
func Decode(snapshot *clusterpb.Snapshot) (*Config, error) {
	if snapshot.GetFormat() != Format {
		return nil, &BuildError{Problems: []Problem{{
			Field:   "format",
			Message: fmt.Sprintf("snapshot has format %d, this node reads format %d", snapshot.GetFormat(), Format),
		}}}
	}
	c := new(Config)
	for _, group := range snapshot.GetGroups() {
		var err error
		switch group.GetKind() {
		case "services":
			c.Services, err = decode[entitypb.Service](group)
		case "routes":
			c.Routes, err = decode[entitypb.Route](group)
		case "plugins":
			c.Plugins, err = decode[entitypb.Plugin](group)
		case "consumers":
			c.Consumers, err = decode[entitypb.Consumer](group)
		case "certificates":
			c.Certificates, err = decode[entitypb.Certificate](group)
		case "keyauth_credentials":
			c.Keys, err = decode[entitypb.KeyauthCredential](group)
		}
		if err != nil {
			return nil, err
		}
	}
	return c, nil
}

func decode[T any, M interface {
	*T
	proto.Message
}](group *clusterpb.Group) ([]M, error) {
	// One block of memory for the whole group: there may be many thousands.
	all := make([]T, len(group.GetEntities()))
	out := make([]M, len(all))
	for i, data := range group.GetEntities() {
		out[i] = &all[i]
		if err := proto.Unmarshal(data, out[i]); err != nil {
			return nil, &BuildError{Problems: []Problem{{
				Kind: group.GetKind(), Message: fmt.Sprintf("entity %d cannot be read: %v", i, err),
			}}}
		}
	}
	return out, nil
}
