package schema

import (
	"fmt"
	"math"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/reflect/protoregistry"
	"google.golang.org/protobuf/types/dynamicpb"
)

// Message is the typed message of a stored entity, or of a plugin's
// configuration: absent and null leave a field unset, a plugin's configuration
// is the bytes of its canonical JSON, required fields have their defaults even
// if the entity was stored before they were there.
func (s *Schema) Message(doc Document) (proto.Message, error) {
	kind, err := protoregistry.GlobalTypes.FindMessageByName(s.msg.FullName())
	if err != nil {
		// Only a schema that was not generated into this program comes here.
		kind = dynamicpb.NewMessageType(s.msg)
	}
	m := kind.New().Interface()
	return m, s.Unmarshal(doc, m)
}

// Unmarshal is Message into a message of the caller's, which is reset before.
func (s *Schema) Unmarshal(doc Document, into proto.Message) error {
	m := into.ProtoReflect()
	if m.Descriptor().FullName() != s.msg.FullName() {
		return fmt.Errorf("%s does not go into %s", s.Kind(), m.Descriptor().FullName())
	}
	if doc.Kind() != KindObject {
		return fmt.Errorf("%s: not an object", s.Kind())
	}
	proto.Reset(into)
	if err := setRecord(m, s.Renewed(doc)); err != nil {
		return fmt.Errorf("%s: %w", s.Kind(), err)
	}
	return nil
}

func setRecord(m protoreflect.Message, doc Document) error {
	if doc.Kind() != KindObject {
		return fmt.Errorf("not an object")
	}
	fields := m.Descriptor().Fields()
	for _, member := range doc.Members() {
		fd := fields.ByName(protoreflect.Name(member.Name))
		if fd == nil || member.Value.unset() {
			continue
		}
		if err := setField(m, fd, member.Value); err != nil {
			return fmt.Errorf("%s: %w", member.Name, err)
		}
	}
	return nil
}

func setField(m protoreflect.Message, fd protoreflect.FieldDescriptor, v Document) error {
	switch {
	case fd.IsMap():
		if v.Kind() != KindObject {
			return fmt.Errorf("not an object")
		}
		entries := m.Mutable(fd).Map()
		for _, member := range v.Members() {
			value := entries.NewValue()
			if err := set(&value, fd.MapValue(), member.Value); err != nil {
				return fmt.Errorf("%q: %w", member.Name, err)
			}
			entries.Set(protoreflect.ValueOfString(member.Name).MapKey(), value)
		}
		return nil
	case fd.IsList():
		return setList(m.Mutable(fd).List(), fd, v)
	}
	value := m.NewField(fd)
	if err := set(&value, fd, v); err != nil {
		return err
	}
	m.Set(fd, value)
	return nil
}

func setList(list protoreflect.List, fd protoreflect.FieldDescriptor, v Document) error {
	if v.Kind() != KindList {
		return fmt.Errorf("not a list")
	}
	for i, e := range v.Elements() {
		value := list.NewElement()
		if err := set(&value, fd, e); err != nil {
			return fmt.Errorf("%d: %w", i+1, err)
		}
		list.Append(value)
	}
	return nil
}

// set converts one value of the field's kind; value holds a new message when
// that is what the kind is.
func set(value *protoreflect.Value, fd protoreflect.FieldDescriptor, v Document) error {
	switch fd.Kind() {
	case protoreflect.StringKind:
		if v.Kind() != KindString {
			return fmt.Errorf("not a text")
		}
		*value = protoreflect.ValueOfString(v.Text())
	case protoreflect.BoolKind:
		b, ok := v.Truth()
		if !ok {
			return fmt.Errorf("not a truth value")
		}
		*value = protoreflect.ValueOfBool(b)
	case protoreflect.BytesKind:
		*value = protoreflect.ValueOfBytes(v.AppendJSON(nil))
	case protoreflect.MessageKind:
		if inner := listField(fd.Message()); inner != nil {
			return setList(value.Message().Mutable(inner).List(), inner, v)
		}
		return setRecord(value.Message(), v)
	default:
		return setNumber(value, fd.Kind(), v)
	}
	return nil
}

func setNumber(value *protoreflect.Value, kind protoreflect.Kind, v Document) error {
	f, ok := v.Float()
	if !ok {
		return fmt.Errorf("not a number")
	}
	switch kind {
	case protoreflect.DoubleKind:
		*value = protoreflect.ValueOfFloat64(f)
		return nil
	case protoreflect.FloatKind:
		*value = protoreflect.ValueOfFloat32(float32(f))
		return nil
	}
	n, ok := v.Int()
	if !ok {
		return fmt.Errorf("not an integer")
	}
	switch kind {
	case protoreflect.Int64Kind, protoreflect.Sint64Kind, protoreflect.Sfixed64Kind:
		*value = protoreflect.ValueOfInt64(n)
	case protoreflect.Int32Kind, protoreflect.Sint32Kind, protoreflect.Sfixed32Kind:
		if n < math.MinInt32 || n > math.MaxInt32 {
			return fmt.Errorf("%d is out of range", n)
		}
		*value = protoreflect.ValueOfInt32(int32(n))
	default:
		return fmt.Errorf("no conversion to %s", kind)
	}
	return nil
}
