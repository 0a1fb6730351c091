package runtime

import (
	"fmt"
	"slices"

	"google.golang.org/protobuf/proto"

	clusterpb "github.com/gibbon-gateway/gibbon/gen/gibbon/cluster/v1"
	entitypb "github.com/gibbon-gateway/gibbon/gen/gibbon/entity/v1"
)

// The layouts of snapshots that this package reads: from minFormat to Format.
const (
	minFormat = 1 // of control planes that know no workspace but DefaultWorkspace
	Format    = 2
)

// DefaultWorkspace is the workspace of entities of which nothing else is said,
// and of requests that no route matches.
const DefaultWorkspace = "default"

// Config is a snapshot with its entities decoded: what Build works from.
type Config struct {
	Services     []*entitypb.Service
	Routes       []*entitypb.Route
	Plugins      []*entitypb.Plugin
	Consumers    []*entitypb.Consumer
	Certificates []*entitypb.Certificate
	Keys         []*entitypb.KeyauthCredential
	Groups       []*entitypb.ConsumerGroup
	Members      []*entitypb.ConsumerGroupConsumer
	SNIs         []*entitypb.Sni
	Authorities  []*entitypb.CaCertificate
	Vaults       []*entitypb.Vault

	// Workspaces has the names of the entities' workspaces. An entity that is not
	// in it belongs to DefaultWorkspace, or is of a kind that belongs to none.
	Workspaces map[proto.Message]string
	// WorkspaceIDs are the ids of workspaces by their names, as far as they are
	// known.
	WorkspaceIDs map[string]string
}

// Workspace is the name of the workspace that an entity belongs to.
func (c *Config) Workspace(entity proto.Message) string {
	if name, ok := c.Workspaces[entity]; ok {
		return name
	}
	return DefaultWorkspace
}

// Decode reads the entities of a snapshot. Kinds that a data plane has no use
// for are passed over; the control plane says which kinds a node must know.
func Decode(snapshot *clusterpb.Snapshot) (*Config, error) {
	if format := snapshot.GetFormat(); format < minFormat || format > Format {
		return nil, &BuildError{Problems: []Problem{{
			Field:   "format",
			Message: fmt.Sprintf("snapshot has format %d, this node reads formats %d to %d", format, minFormat, Format),
		}}}
	}
	c := &Config{Workspaces: make(map[proto.Message]string), WorkspaceIDs: make(map[string]string)}
	for _, group := range snapshot.GetGroups() {
		var err error
		switch group.GetKind() {
		case "services":
			err = decode(c, group, &c.Services)
		case "routes":
			err = decode(c, group, &c.Routes)
		case "plugins":
			err = decode(c, group, &c.Plugins)
		case "consumers":
			err = decode(c, group, &c.Consumers)
		case "certificates":
			err = decode(c, group, &c.Certificates)
		case "keyauth_credentials":
			err = decode(c, group, &c.Keys)
		case "snis":
			err = decode(c, group, &c.SNIs)
		case "ca_certificates":
			err = decode(c, group, &c.Authorities)
		case "vaults":
			err = decode(c, group, &c.Vaults)
		case "consumer_groups":
			err = decode(c, group, &c.Groups)
		case "consumer_group_consumers":
			err = decode(c, group, &c.Members)
		}
		if err != nil {
			return nil, err
		}
		if id := group.GetWorkspaceId(); id != "" {
			c.WorkspaceIDs[group.GetWorkspace()] = id
		}
	}
	return c, nil
}

// decode appends the entities of a group to those of the same kind.
func decode[T any, M interface {
	*T
	proto.Message
}](c *Config, group *clusterpb.Group, into *[]M) error {
	// One block of memory for the whole group: there may be many thousands.
	all := make([]T, len(group.GetEntities()))
	*into = slices.Grow(*into, len(all))
	workspace := group.GetWorkspace()
	for i, data := range group.GetEntities() {
		entity := M(&all[i])
		if err := proto.Unmarshal(data, entity); err != nil {
			return &BuildError{Problems: []Problem{{
				Kind: group.GetKind(), Message: fmt.Sprintf("entity %d cannot be read: %v", i, err),
			}}}
		}
		*into = append(*into, entity)
		if workspace != "" && workspace != DefaultWorkspace {
			c.Workspaces[entity] = workspace
		}
	}
	return nil
}
