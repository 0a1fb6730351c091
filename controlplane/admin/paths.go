package admin

import (
	"cmp"
	"net/http"
	"slices"
	"strings"

	"google.golang.org/genproto/googleapis/api/annotations"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/reflect/protoregistry"

	adminpb "github.com/gibbon-gateway/gibbon/gen/gibbon/admin/v1"

	"github.com/gibbon-gateway/gibbon/schema"
)

// paths knows every path of the REST API: those of the entities, which follow
// from the catalogue, and the fixed ones, which follow from the annotations of
// all other services. It never changes once the server is made.
type paths struct {
	catalogue *schema.Catalogue
	fixed     []fixedPath
	nested    map[string]map[string]nested // by the parent's path, then by the child's nested path
	singular  map[string]map[string]nested // by the entity's path, then by the foreign field
}

// fixedPath is a path that does not follow from the catalogue. A segment of "" is
// a variable.
type fixedPath struct {
	segments []string
	template string
	methods  []string
}

// nested is a relation between two entities. As a nested collection, schema is
// the child that refers to the parent by the field; as a singular path, schema
// is what the field refers to.
type nested struct {
	schema *schema.Schema
	field  string
}

// place is what a path leads to.
type place struct {
	// template is the path with variables in braces, as GET /endpoints shows
	// it. It names no entity, so it may be logged.
	template string
	// methods are those the path has, sorted, with HEAD and OPTIONS.
	methods []string
	// singular says that the last segment is a foreign field; the RPC then
	// wants the ref "-".
	singular bool
}

var (
	collectionMethods = withImplied([]string{http.MethodGet, http.MethodPost})
	entityMethods     = withImplied([]string{http.MethodGet, http.MethodPut, http.MethodPatch, http.MethodDelete})
)

// withImplied adds the methods that every path has, sorted as Kong lists them.
func withImplied(methods []string) []string {
	all := append(slices.Clone(methods), http.MethodOptions)
	if slices.Contains(all, http.MethodGet) {
		all = append(all, http.MethodHead)
	}
	slices.Sort(all)
	return slices.Compact(all)
}

func newPaths(catalogue *schema.Catalogue) *paths {
	p := &paths{
		catalogue: catalogue,
		fixed:     fixedPaths(),
		nested:    map[string]map[string]nested{},
		singular:  map[string]map[string]nested{},
	}
	for _, child := range catalogue.Entities() {
		if !child.HasPaths() {
			continue
		}
		for _, f := range child.Foreign() {
			parent, ok := catalogue.Entity(f.Kind)
			if !ok || !parent.HasPaths() {
				continue
			}
			put(p.nested, parent.Path(), child.NestedPath(), nested{child, f.Field})
			if !f.NoPath {
				put(p.singular, child.Path(), f.Field, nested{parent, f.Field})
			}
		}
	}
	return p
}

func put(table map[string]map[string]nested, outer, inner string, n nested) {
	if table[outer] == nil {
		table[outer] = map[string]nested{}
	}
	// A child that refers to a parent by two fields is listed by the first.
	if _, taken := table[outer][inner]; !taken {
		table[outer][inner] = n
	}
}

// generic is the service whose paths follow from the catalogue.
const generic = "Entities"

// fixedPaths reads the annotations of all services but the generic one.
func fixedPaths() []fixedPath {
	byTemplate := map[string][]string{}
	add := func(rule *annotations.HttpRule) {
		switch pattern := rule.GetPattern().(type) {
		case *annotations.HttpRule_Get:
			byTemplate[pattern.Get] = append(byTemplate[pattern.Get], http.MethodGet)
		case *annotations.HttpRule_Post:
			byTemplate[pattern.Post] = append(byTemplate[pattern.Post], http.MethodPost)
		case *annotations.HttpRule_Put:
			byTemplate[pattern.Put] = append(byTemplate[pattern.Put], http.MethodPut)
		case *annotations.HttpRule_Patch:
			byTemplate[pattern.Patch] = append(byTemplate[pattern.Patch], http.MethodPatch)
		case *annotations.HttpRule_Delete:
			byTemplate[pattern.Delete] = append(byTemplate[pattern.Delete], http.MethodDelete)
		}
	}
	for _, method := range methods() {
		rule, ok := proto.GetExtension(method.Options(), annotations.E_Http).(*annotations.HttpRule)
		if !ok || method.Parent().Name() == generic {
			continue
		}
		add(rule)
		for _, more := range rule.GetAdditionalBindings() {
			add(more)
		}
	}
	var list []fixedPath
	for template, methods := range byTemplate {
		f := fixedPath{template: template, methods: withImplied(methods), segments: split(template)}
		for i, s := range f.segments {
			if strings.HasPrefix(s, "{") {
				f.segments[i] = ""
			}
		}
		list = append(list, f)
	}
	// The path with a literal where another has a variable comes first, and so
	// is the one that is found.
	slices.SortFunc(list, func(a, b fixedPath) int {
		for i := range min(len(a.segments), len(b.segments)) {
			if c := cmp.Compare(b.segments[i], a.segments[i]); c != 0 {
				return c
			}
		}
		return cmp.Compare(len(a.segments), len(b.segments))
	})
	return list
}

// drop takes a fixed path away; the method it led to stays for gRPC.
func (p *paths) drop(template string) {
	p.fixed = slices.DeleteFunc(p.fixed, func(f fixedPath) bool { return f.template == template })
}

// methods are those of all services of the Admin API.
func methods() []protoreflect.MethodDescriptor {
	var all []protoreflect.MethodDescriptor
	name := adminpb.File_gibbon_admin_v1_entities_proto.Package()
	protoregistry.GlobalFiles.RangeFilesByPackage(name, func(file protoreflect.FileDescriptor) bool {
		for i := range file.Services().Len() {
			service := file.Services().Get(i)
			for j := range service.Methods().Len() {
				all = append(all, service.Methods().Get(j))
			}
		}
		return true
	})
	return all
}

// reserved tells whether a workspace of that name could not be reached, since a
// path begins like that.
func (p *paths) reserved(name string) bool {
	if _, ok := p.catalogue.Path(name); ok {
		return true
	}
	return slices.ContainsFunc(p.fixed, func(f fixedPath) bool { return len(f.segments) > 0 && f.segments[0] == name })
}

// split takes a path apart; "/" has no segments.
func split(path string) []string {
	path = strings.TrimPrefix(path, "/")
	if path == "" {
		return nil
	}
	return strings.Split(path, "/")
}

func (f fixedPath) matches(segments []string) bool {
	if len(segments) != len(f.segments) {
		return false
	}
	for i, s := range f.segments {
		if s != "" && s != segments[i] {
			return false
		}
	}
	return true
}

// find resolves the decoded segments of a path. Fixed paths win over those of
// entities.
func (p *paths) find(segments []string) (place, bool) {
	for _, f := range p.fixed {
		if f.matches(segments) {
			return place{template: f.template, methods: f.methods}, true
		}
	}
	if len(segments) == 0 || len(segments) > 4 {
		return place{}, false
	}
	s, ok := p.catalogue.Path(segments[0])
	if !ok {
		return place{}, false
	}
	template := "/" + s.Path()
	if len(segments) == 1 {
		return place{template: template, methods: collectionMethods}, true
	}
	template += "/{" + s.Kind() + "}"
	if len(segments) == 2 {
		return place{template: template, methods: entityMethods}, true
	}
	template += "/" + segments[2]
	if child, ok := p.nested[s.Path()][segments[2]]; ok {
		if len(segments) == 3 {
			return place{template: template, methods: collectionMethods}, true
		}
		return place{template: template + "/{" + child.schema.Kind() + "}", methods: entityMethods}, true
	}
	if _, ok := p.singular[s.Path()][segments[2]]; ok && len(segments) == 3 {
		return place{template: template, methods: entityMethods, singular: true}, true
	}
	return place{}, false
}

// templates are all paths, sorted by segment.
func (p *paths) templates() []string {
	var all []string
	for _, f := range p.fixed {
		all = append(all, f.template)
	}
	for _, s := range p.catalogue.Entities() {
		if _, ok := p.catalogue.Path(s.Path()); !ok {
			continue // none, or below others only
		}
		one := "/" + s.Path() + "/{" + s.Kind() + "}"
		all = append(all, "/"+s.Path(), one)
		for field := range p.singular[s.Path()] {
			all = append(all, one+"/"+field)
		}
		for name, child := range p.nested[s.Path()] {
			all = append(all, one+"/"+name, one+"/"+name+"/{"+child.schema.Kind()+"}")
		}
	}
	slices.SortFunc(all, func(a, b string) int { return slices.Compare(split(a), split(b)) })
	return slices.Compact(all)
}

// kind finds a collection by its path segment or by the entity's name.
func (p *paths) kind(name string) (*schema.Schema, bool) {
	if s, ok := p.catalogue.Path(name); ok {
		return s, true
	}
	s, ok := p.catalogue.Entity(name)
	if !ok || !s.HasPaths() {
		return nil, false
	}
	_, ok = p.catalogue.Path(s.Path()) // else it is found below others only
	return s, ok
}

// child finds the relation of a nested collection, by the nested path or the
// entity's name.
func (p *paths) child(parent *schema.Schema, name string) (nested, bool) {
	if n, ok := p.nested[parent.Path()][name]; ok {
		return n, true
	}
	if s, ok := p.catalogue.Entity(name); ok {
		n, ok := p.nested[parent.Path()][s.NestedPath()]
		return n, ok
	}
	return nested{}, false
}
