package declarative

import (
	"strings"

	"github.com/google/uuid"

	"github.com/gibbon-gateway/gibbon/schema"
)

// names is the namespace of all derived ids; each kind has one of its own in
// it. Kong derives the same ids, so that a file means the same entities there
// and here.
var names = uuid.MustParse("fd02801f-0957-4a15-a55a-c8d9606f30b5")

// deriveID is the id of an entity that has none in the file: the same each time
// when the entity has a name, else random.
func (e *entity) deriveID(target string) string {
	name, ok := e.name()
	if !ok {
		return uuid.NewString()
	}
	if e.workspaceID == "" && !e.schema.Global() && target != defaultWorkspace {
		// Two workspaces may load the same file and must not share its entities.
		name = target + ":" + name
	}
	space := uuid.NewSHA1(names, []byte(e.schema.Kind()))
	return uuid.NewSHA1(space, []byte(name)).String()
}

// name is what the id is derived from.
func (e *entity) name() (text string, ok bool) {
	parts := e.schema.NameParts()
	if len(parts) == 0 {
		key := e.schema.EndpointKey()
		if key == "" || e.schema.Generated(key) {
			return "", false
		}
		text = e.input.Get(key).Text()
		return text, text != ""
	}
	var b strings.Builder
	b.WriteString(e.schema.Kind())
	b.WriteByte(':')
	if e.workspaceID == "" {
		b.WriteByte('*')
	}
	b.WriteString(e.workspaceID)
	for _, part := range parts {
		given := e.input.Get(part.Field)
		switch {
		case part.Generated:
			return "", false
		case given.Kind() == schema.KindObject:
			// Kong forgets the part then, the colon too.
			if id := given.Get("id"); part.Silent && id.Kind() == schema.KindString {
				b.WriteString(":" + id.Text())
			}
			continue
		case !given.IsAbsent() && !given.IsNull():
			text = given.Text()
		case e.parent != nil && part.Field == e.through:
			text = e.parent.id
		case part.Silent:
			continue
		case part.Required:
			return "", false
		default:
			text = ""
		}
		b.WriteByte(':')
		b.WriteString(text)
	}
	return b.String(), true
}
