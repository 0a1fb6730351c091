package runtime

import (
	"fmt"
	"slices"
)

// circleError says that what plugins ask of the order cannot all be had.
type circleError struct{ plugin string }

func (e *circleError) Error() string {
	return fmt.Sprintf("the ordering of plugin %q goes round in a circle", e.plugin)
}

// order settles the order of the access phase where instances ask to run before
// or after other plugins. The entries are in the order of the priorities, which
// stays for all that nothing is asked of: one that wants to run before another is
// moved to the place in front of that one, one that wants to run after another to
// the place behind it, and one whose wish the priorities grant is not moved. The
// answer is places in entries; nil: nothing changes.
//
// What counts is what the instances say that run without a consumer: who calls is
// known only in the middle of the phase.
func order(entries []Entry) ([]int, error) {
	places := make(map[string]int, len(entries))
	for i := range entries {
		places[entries[i].name] = i
	}
	s := sorting{
		entries: entries,
		earlier: make([][]int, len(entries)), pulled: make([][]int, len(entries)), later: make([][]int, len(entries)),
		state: make([]state, len(entries)),
	}
	asked := false
	for i := range entries {
		if entries[i].common.Instance == nil {
			continue
		}
		for _, name := range entries[i].common.before {
			if other, ok := places[name]; ok {
				s.pulled[other] = append(s.pulled[other], i)
				asked = true
			}
		}
		for _, name := range entries[i].common.after {
			if other, ok := places[name]; ok {
				s.earlier[i] = append(s.earlier[i], other)
				s.later[other] = append(s.later[other], i)
				asked = true
			}
		}
	}
	if !asked {
		return nil, nil
	}
	for i := range entries {
		if s.waits(i) {
			s.state[i] = waiting
			continue
		}
		if err := s.put(i); err != nil {
			return nil, err
		}
	}
	if i := slices.Index(s.state, waiting); i >= 0 {
		return nil, &circleError{entries[i].name} // some wait for each other
	}
	if slices.IsSorted(s.done) {
		return nil, nil
	}
	return s.done, nil
}

// sorting is an order under way. For each entry, earlier are those that it asked
// to run after, later those that asked to run after it, and pulled those that
// asked to run before it.
type sorting struct {
	entries                []Entry
	earlier, later, pulled [][]int
	state                  []state
	done                   []int
}

type state uint8

const (
	untouched state = iota
	waiting         // its turn by priority has come and gone
	underway
	placed
)

// waits says that an entry has yet to wait for one that it asked to run after.
func (s *sorting) waits(i int) bool {
	return slices.ContainsFunc(s.earlier[i], func(other int) bool { return s.state[other] != placed })
}

// put places an entry behind all that must be in front of it, and then those
// that waited for it.
func (s *sorting) put(i int) error {
	switch s.state[i] {
	case placed:
		return nil
	case underway:
		return &circleError{s.entries[i].name}
	}
	s.state[i] = underway
	for _, front := range [][]int{s.earlier[i], s.pulled[i]} {
		for _, other := range front {
			if err := s.put(other); err != nil {
				return err
			}
		}
	}
	s.state[i] = placed
	s.done = append(s.done, i)
	for _, other := range s.later[i] {
		if s.state[other] == waiting && !s.waits(other) {
			if err := s.put(other); err != nil {
				return err
			}
		}
	}
	return nil
}
