package runtime

import (
	"maps"
	"slices"
	"strconv"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"

	schemapb "github.com/gibbon-gateway/gibbon/gen/gibbon/schema/v1"

	"github.com/gibbon-gateway/gibbon/dataplane/plugin"
)

// render gives an entity as log objects show it: Kong's JSON without the fields
// that have no value, with the id of its workspace if that is known.
func render(m proto.Message, workspace *Workspace) []byte {
	dst := appendMessage(nil, m.ProtoReflect())
	if workspace.ID == "" {
		return dst
	}
	dst = append(dst[:len(dst)-1], `,"ws_id":`...)
	return append(plugin.AppendString(dst, workspace.ID), '}')
}

func appendMessage(dst []byte, m protoreflect.Message) []byte {
	fields := m.Descriptor().Fields()
	if record, ok := proto.GetExtension(m.Descriptor().Options(), schemapb.E_Record).(*schemapb.Record); ok && record.GetList() {
		return appendList(dst, fields.Get(0), m.Get(fields.Get(0)).List())
	}
	dst = append(dst, '{')
	first := true
	for i := range fields.Len() {
		field := fields.Get(i)
		rules, _ := proto.GetExtension(field.Options(), schemapb.E_Field).(*schemapb.Field)
		// A plain scalar always has a value; the rest may have none.
		absent := !m.Has(field) && (field.HasPresence() || field.IsList() || field.IsMap())
		if rules.GetHidden() || absent {
			continue
		}
		if !first {
			dst = append(dst, ',')
		}
		first = false
		dst = plugin.AppendString(dst, string(field.Name()))
		dst = append(dst, ':')
		value := m.Get(field)
		switch {
		case field.IsList():
			dst = appendList(dst, field, value.List())
		case field.IsMap():
			dst = appendMap(dst, field, value.Map())
		default:
			dst = appendValue(dst, field, value)
		}
	}
	return append(dst, '}')
}

func appendList(dst []byte, field protoreflect.FieldDescriptor, list protoreflect.List) []byte {
	dst = append(dst, '[')
	for i := range list.Len() {
		if i > 0 {
			dst = append(dst, ',')
		}
		dst = appendValue(dst, field, list.Get(i))
	}
	return append(dst, ']')
}

func appendMap(dst []byte, field protoreflect.FieldDescriptor, m protoreflect.Map) []byte {
	values := make(map[string]protoreflect.Value, m.Len())
	m.Range(func(key protoreflect.MapKey, value protoreflect.Value) bool {
		values[key.String()] = value
		return true
	})
	dst = append(dst, '{')
	for i, key := range slices.Sorted(maps.Keys(values)) {
		if i > 0 {
			dst = append(dst, ',')
		}
		dst = plugin.AppendString(dst, key)
		dst = append(dst, ':')
		dst = appendValue(dst, field.MapValue(), values[key])
	}
	return append(dst, '}')
}

func appendValue(dst []byte, field protoreflect.FieldDescriptor, v protoreflect.Value) []byte {
	switch field.Kind() {
	case protoreflect.MessageKind, protoreflect.GroupKind:
		return appendMessage(dst, v.Message())
	case protoreflect.BoolKind:
		return strconv.AppendBool(dst, v.Bool())
	case protoreflect.StringKind:
		return plugin.AppendString(dst, v.String())
	case protoreflect.BytesKind:
		// Bytes fields hold JSON.
		if len(v.Bytes()) == 0 {
			return append(dst, "null"...)
		}
		return append(dst, v.Bytes()...)
	case protoreflect.FloatKind, protoreflect.DoubleKind:
		return strconv.AppendFloat(dst, v.Float(), 'f', -1, 64)
	case protoreflect.Uint32Kind, protoreflect.Uint64Kind, protoreflect.Fixed32Kind, protoreflect.Fixed64Kind:
		return strconv.AppendUint(dst, v.Uint(), 10)
	case protoreflect.EnumKind:
		return plugin.AppendString(dst, string(field.Enum().Values().ByNumber(v.Enum()).Name()))
	default:
		return strconv.AppendInt(dst, v.Int(), 10)
	}
}
