package llm

// Edits are changes to make to an object in one splice. The zero value changes
// nothing. Members are named by their place in the Names that the object was
// read with.
type Edits struct {
	ops    [maxNames]editKind
	values [maxNames]string
}

type editKind uint8

const (
	keepMember editKind = iota
	setMember
	removeMember
	renameMember
)

// Set gives a member a value, which is JSON text. A member that is missing is
// added behind the others.
func (e *Edits) Set(at int, value string) { e.ops[at], e.values[at] = setMember, value }

// Remove takes a member out.
func (e *Edits) Remove(at int) { e.ops[at] = removeMember }

// Rename gives a member that is there another name and leaves its value.
func (e *Edits) Rename(at int, name string) { e.ops[at], e.values[at] = renameMember, name }

// Empty says that the edits change nothing.
func (e *Edits) Empty() bool {
	for _, op := range e.ops {
		if op != keepMember {
			return false
		}
	}
	return true
}

// Size is an upper bound of what the edits add to the text, in bytes.
func (e *Edits) Size(o *Object) int {
	size := 0
	for at, op := range e.ops {
		if op != keepMember && op != removeMember {
			size += len(e.values[at]) + len(o.names.list[at]) + 4
		}
	}
	return size
}

// AppendTo appends the object's text with the edits made. Everything that is not
// edited stays byte for byte.
func (e *Edits) AppendTo(dst []byte, o *Object) []byte {
	var order [maxNames]uint8 // the edited members that are there, by their place
	edited, removed := 0, 0
	for at := range o.names.list {
		if e.ops[at] == keepMember || !o.fields[at].found {
			continue
		}
		if e.ops[at] == removeMember {
			removed++
		}
		i := edited
		for ; i > 0 && o.fields[order[i-1]].index > o.fields[at].index; i-- {
			order[i] = order[i-1]
		}
		order[i] = uint8(at)
		edited++
	}
	// The members from tail on are all taken out, so the comma before them goes
	// too; any other member that is taken out takes the comma behind it along.
	tail := o.members
	for i := edited - 1; i >= 0; i-- {
		f := &o.fields[order[i]]
		if e.ops[order[i]] != removeMember || int(f.index) != tail-1 {
			break
		}
		tail--
	}
	done := 0
	for _, at := range order[:edited] {
		f := &o.fields[at]
		switch e.ops[at] {
		case setMember:
			dst = append(dst, o.text[done:f.value]...)
			dst = append(dst, e.values[at]...)
			done = int(f.end)
		case renameMember:
			dst = append(dst, o.text[done:f.key]...)
			dst = AppendQuoted(dst, e.values[at])
			done = int(f.keyEnd)
		case removeMember:
			switch index := int(f.index); {
			case index < tail:
				dst = append(dst, o.text[done:f.key]...)
				done = int(f.next)
			case index == tail:
				from := int(f.comma)
				if index == 0 {
					from = int(f.key)
				}
				dst = append(dst, o.text[done:from]...)
				done = o.end
			}
		}
	}
	dst = append(dst, o.text[done:o.end]...)
	kept := o.members - removed
	for at, name := range o.names.list {
		if e.ops[at] != setMember || o.fields[at].found {
			continue
		}
		if kept > 0 {
			dst = append(dst, ',')
		}
		kept++
		dst = AppendQuoted(dst, name)
		dst = append(dst, ':')
		dst = append(dst, e.values[at]...)
	}
	return append(dst, o.text[o.end:]...)
}
