package admin

import (
	"fmt"

	"google.golang.org/protobuf/types/known/structpb"

	"github.com/gibbon-gateway/gibbon/schema"
)

// toStruct converts an object for callers of gRPC. A Struct has doubles for
// numbers, as Kong has, and no order of members.
func toStruct(d schema.Document) (*structpb.Struct, error) {
	s := &structpb.Struct{Fields: map[string]*structpb.Value{}}
	for _, m := range d.Members() {
		v, err := toValue(m.Value)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", m.Name, err)
		}
		s.Fields[m.Name] = v
	}
	return s, nil
}

func toValue(d schema.Document) (*structpb.Value, error) {
	switch d.Kind() {
	case schema.KindBool:
		b, _ := d.Truth()
		return structpb.NewBoolValue(b), nil
	case schema.KindNumber:
		f, ok := d.Float()
		if !ok {
			return nil, fmt.Errorf("the number %s does not fit into a double", d.Text())
		}
		return structpb.NewNumberValue(f), nil
	case schema.KindString:
		return structpb.NewStringValue(d.Text()), nil
	case schema.KindList:
		list := &structpb.ListValue{}
		for _, e := range d.Elements() {
			v, err := toValue(e)
			if err != nil {
				return nil, err
			}
			list.Values = append(list.Values, v)
		}
		return structpb.NewListValue(list), nil
	case schema.KindObject:
		s, err := toStruct(d)
		return structpb.NewStructValue(s), err
	}
	return structpb.NewNullValue(), nil
}

// fromStruct converts the body of a gRPC caller; a missing one is an empty
// object.
func fromStruct(s *structpb.Struct) (schema.Document, error) {
	if s == nil {
		return schema.Object(), nil
	}
	text, err := s.MarshalJSON()
	if err != nil {
		return schema.Document{}, badRequest("Cannot parse the body: " + err.Error())
	}
	d, err := schema.Parse(text)
	if err != nil {
		return schema.Document{}, fmt.Errorf("body: %w", err)
	}
	return d, nil
}
