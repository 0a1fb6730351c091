package declarative

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"math/big"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v3"

	"github.com/gibbon-gateway/gibbon/schema"
)

const (
	// MaxSize is the largest text that is read, in bytes.
	MaxSize = 256 << 20
	// maxDepth is how deep a text may nest, as in package schema.
	maxDepth = 200
	// maxRepeated is how many values aliases may repeat: a few lines of them can
	// stand for billions.
	maxRepeated = 1 << 20
	// maxDigits is how long a number may be: to read one takes the square of that.
	maxDigits = 1100
)

// decode reads a text as JSON when it begins like an object of JSON, and as
// YAML if that fails or it does not: most JSON is YAML, but the reader of JSON
// is faster.
func decode(text []byte) (schema.Document, error) {
	if len(text) > MaxSize {
		return schema.Document{}, fmt.Errorf("the text has %d bytes, the limit is %d", len(text), MaxSize)
	}
	if bytes.HasPrefix(bytes.TrimLeft(text, " \t\r\n"), []byte("{")) {
		if doc, err := schema.Parse(text); err == nil {
			return doc, nil
		}
	}
	dec := yaml.NewDecoder(bytes.NewReader(text))
	var root, more yaml.Node
	if err := dec.Decode(&root); err == io.EOF {
		return schema.Null(), nil
	} else if err != nil {
		return schema.Document{}, plainError(err)
	}
	if err := dec.Decode(&more); err == nil {
		return schema.Document{}, fmt.Errorf("line %d: a second document begins", more.Line)
	} else if err != io.EOF {
		return schema.Document{}, plainError(err)
	}
	r := reader{aliased: map[*yaml.Node]*aliased{}}
	return r.value(&root, 0)
}

// plainError takes the name of the library off its errors.
func plainError(err error) error {
	return errors.New(strings.TrimPrefix(err.Error(), "yaml: "))
}

// reader turns nodes into documents.
type reader struct {
	// aliased are the values that aliases stand for. They are shared: a document
	// does not change.
	aliased  map[*yaml.Node]*aliased
	values   int // read so far
	repeated int // of them, by aliases
}

type aliased struct {
	doc    schema.Document
	size   int // in values
	height int
	done   bool
}

func (r *reader) value(n *yaml.Node, depth int) (schema.Document, error) {
	if depth > maxDepth {
		return schema.Document{}, errDepth(n)
	}
	r.values++
	switch n.Kind {
	case yaml.DocumentNode:
		return r.value(n.Content[0], depth)
	case yaml.AliasNode:
		return r.alias(n, depth)
	case yaml.SequenceNode:
		elements := make([]schema.Document, len(n.Content))
		for i, child := range n.Content {
			var err error
			if elements[i], err = r.value(child, depth+1); err != nil {
				return schema.Document{}, err
			}
		}
		return schema.List(elements...), nil
	case yaml.MappingNode:
		return r.mapping(n, depth)
	}
	return scalar(n)
}

func (r *reader) alias(n *yaml.Node, depth int) (schema.Document, error) {
	a := r.aliased[n.Alias]
	if a == nil {
		a = &aliased{}
		r.aliased[n.Alias] = a
		before := r.values
		var err error
		if a.doc, err = r.value(n.Alias, depth); err != nil {
			return schema.Document{}, err
		}
		a.size, a.height, a.done = r.values-before, height(a.doc), true
	} else if !a.done {
		return schema.Document{}, fmt.Errorf("line %d: the alias %q stands inside of what it stands for", n.Line, n.Value)
	}
	if depth+a.height > maxDepth {
		return schema.Document{}, errDepth(n)
	}
	r.values += a.size
	if r.repeated += a.size; r.repeated > maxRepeated {
		return schema.Document{}, fmt.Errorf("line %d: aliases repeat more than %d values", n.Line, maxRepeated)
	}
	return a.doc, nil
}

func errDepth(n *yaml.Node) error {
	return fmt.Errorf("line %d: nested deeper than %d", n.Line, maxDepth)
}

// height is how deep a document nests.
func height(doc schema.Document) int {
	highest := 0
	for _, e := range doc.Elements() {
		highest = max(highest, 1+height(e))
	}
	for _, m := range doc.Members() {
		highest = max(highest, 1+height(m.Value))
	}
	return highest
}

func (r *reader) mapping(n *yaml.Node, depth int) (schema.Document, error) {
	members := make([]schema.Member, 0, len(n.Content)/2)
	seen := make(map[string]bool, len(n.Content)/2)
	var merged []*yaml.Node
	for i := 0; i+1 < len(n.Content); i += 2 {
		key, child := n.Content[i], n.Content[i+1]
		if key.Kind == yaml.AliasNode {
			key = key.Alias
		}
		if key.Kind != yaml.ScalarNode {
			return schema.Document{}, fmt.Errorf("line %d: a key must be a text", key.Line)
		}
		if key.ShortTag() == "!!merge" {
			merged = append(merged, child)
			continue
		}
		if seen[key.Value] {
			return schema.Document{}, fmt.Errorf("line %d: the key %q is given twice", key.Line, key.Value)
		}
		seen[key.Value] = true
		v, err := r.value(child, depth+1)
		if err != nil {
			return schema.Document{}, err
		}
		members = append(members, schema.Member{Name: key.Value, Value: v})
	}
	for _, node := range merged {
		v, err := r.value(node, depth+1)
		if err != nil {
			return schema.Document{}, err
		}
		sources := []schema.Document{v}
		if v.Kind() == schema.KindList {
			sources = v.Elements()
		}
		for _, source := range sources {
			if source.Kind() != schema.KindObject {
				return schema.Document{}, fmt.Errorf("line %d: only mappings can be merged", node.Line)
			}
			for _, m := range source.Members() {
				if !seen[m.Name] { // the first one that has it wins
					seen[m.Name] = true
					members = append(members, m)
				}
			}
		}
	}
	return schema.Object(members...), nil
}

// switches are the words for truth of YAML 1.1, which Kong's reader takes too.
var switches = map[string]bool{
	"yes": true, "Yes": true, "YES": true, "on": true, "On": true, "ON": true,
	"no": false, "No": false, "NO": false, "off": false, "Off": false, "OFF": false,
}

func scalar(n *yaml.Node) (schema.Document, error) {
	text := n.Value
	switch n.ShortTag() {
	case "!!null":
		return schema.Null(), nil
	case "!!bool":
		var b bool
		if err := n.Decode(&b); err != nil {
			return schema.Document{}, fmt.Errorf("line %d: not a boolean", n.Line)
		}
		return schema.Bool(b), nil
	case "!!int":
		i, ok := new(big.Int), len(text) <= maxDigits
		if ok {
			i, ok = i.SetString(strings.ReplaceAll(text, "_", ""), 0)
		}
		if !ok || i.BitLen() > 1024 {
			return schema.Document{}, fmt.Errorf("line %d: not a number that can be read", n.Line)
		}
		return schema.Number(i.String()), nil
	case "!!float":
		f, err := strconv.ParseFloat(strings.ReplaceAll(text, "_", ""), 64)
		if err != nil || f-f != 0 {
			return schema.Document{}, fmt.Errorf("line %d: not a number that can be read", n.Line)
		}
		return schema.Float(f), nil
	case "!!str", "!!timestamp":
		if b, ok := switches[text]; ok && n.Style == 0 {
			return schema.Bool(b), nil
		}
		return schema.String(text), nil
	case "!!binary":
		var s string
		if err := n.Decode(&s); err != nil {
			return schema.Document{}, fmt.Errorf("line %d: not in base64", n.Line)
		}
		return schema.String(strings.ToValidUTF8(s, "\uFFFD")), nil
	}
	return schema.Document{}, fmt.Errorf("line %d: the tag %q means nothing here", n.Line, n.Tag)
}
