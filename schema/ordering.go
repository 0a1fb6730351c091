package schema

import "slices"

// orderHolds is about a plugin that is to run before and after others: it can
// neither be before and after the same one, nor before or after itself. Circles of
// several plugins are seen only where all of them are, on a route.
func orderHolds(doc Document) string {
	names := func(side string) (all []string) {
		for _, name := range doc.Get("ordering", side, "access").Elements() {
			all = append(all, name.Text())
		}
		return all
	}
	before, after := names("before"), names("after")
	for _, name := range before {
		if slices.Contains(after, name) {
			return "a plugin cannot run both before and after '" + name + "'"
		}
	}
	if name := doc.Get("name").Text(); slices.Contains(before, name) || slices.Contains(after, name) {
		return "a plugin cannot run before or after itself"
	}
	return ""
}
