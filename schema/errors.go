package schema

import (
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// ErrTooManyArguments says that a form holds more than a thousand arguments.
var ErrTooManyArguments = errors.New("too many arguments")

// ErrBadForm says that a form body cannot be taken apart: a multipart body
// without boundary, or one that breaks off.
var ErrBadForm = errors.New("bad form")

// ViolationError says which rules of a schema an entity breaks.
type ViolationError struct {
	// Entity holds the texts about the entity as a whole.
	Entity []string
	// Fields is an object: a text by field, or an object or list of them. It
	// holds no "@entity" at the top; inner records have theirs in place.
	Fields Document
}

// Document is the "fields" of Kong's error body.
func (e *ViolationError) Document() Document {
	if len(e.Entity) == 0 {
		return Object(e.Fields.Members()...)
	}
	return Object(append([]Member{{"@entity", texts(e.Entity)}}, e.Fields.Members()...)...)
}

// Error is Kong's message: "schema violation (name: required field missing)",
// or "2 schema violations (…; …)".
func (e *ViolationError) Error() string {
	items := slices.Clone(e.Entity)
	for _, m := range e.Fields.sorted().Members() {
		items = append(items, violationItems(m.Name, m.Value)...)
	}
	if len(items) == 1 {
		return "schema violation (" + items[0] + ")"
	}
	return fmt.Sprintf("%d schema violations (%s)", len(items), strings.Join(items, "; "))
}

// violationItems are what one top-level field adds to the message. Kong counts
// one per sub-field and dumps what lies deeper as a block.
func violationItems(name string, d Document) []string {
	switch d.Kind() {
	case KindObject:
		var items []string
		for _, m := range d.sorted().Members() {
			items = append(items, name+"."+m.Name+": "+violationBlock(m.Value, 0))
		}
		return items
	case KindList:
		var items []string
		for i, e := range d.Elements() {
			if !e.unset() {
				items = append(items, name+"."+strconv.Itoa(i+1)+": "+violationBlock(e, 0))
			}
		}
		return items
	}
	return []string{name + ": " + d.Text()}
}

func violationBlock(d Document, depth int) string {
	var lines []string
	switch d.Kind() {
	case KindObject:
		for _, m := range d.sorted().Members() {
			var key strings.Builder
			if isIdentifier(m.Name) {
				key.WriteString(m.Name)
			} else {
				writeLuaKey(&key, m.Name)
			}
			lines = append(lines, key.String()+" = "+quotedBlock(m.Value, depth+1))
		}
	case KindList:
		holes := false
		for i, e := range d.Elements() {
			if e.unset() {
				holes = true
				continue
			}
			key := ""
			if holes {
				key = "[" + strconv.Itoa(i+1) + "] = "
			}
			lines = append(lines, key+quotedBlock(e, depth+1))
		}
	default:
		return d.Text()
	}
	indent := strings.Repeat("  ", depth)
	return "{\n" + indent + "  " + strings.Join(lines, ",\n"+indent+"  ") + "\n" + indent + "}"
}

func quotedBlock(d Document, depth int) string {
	if d.Kind() == KindString {
		return string(appendQuoted(nil, d.Text()))
	}
	return violationBlock(d, depth)
}

// OptionError says that an option that came in the body, such as ttl, is bad.
// It goes before every rule of the schema.
type OptionError struct {
	Option, Text string
}

// Error is Kong's message.
func (e *OptionError) Error() string {
	return "invalid option (" + e.Option + ": " + e.Text + ")"
}

// Document is the "options" of Kong's error body.
func (e *OptionError) Document() Document {
	return Object(Member{e.Option, String(e.Text)})
}

// KeyError says that a text from a URL cannot be a value of the endpoint key.
type KeyError struct {
	Field, Text string
}

// Error is the validator's text, which is Kong's message.
func (e *KeyError) Error() string { return e.Text }

func texts(list []string) Document {
	elements := make([]Document, len(list))
	for i, text := range list {
		elements[i] = String(text)
	}
	return List(elements...)
}
