package schema

import "strconv"

// nodes turns addresses of the form host:port into the records of a field, whose
// host has that name there.
func nodes(field, host string) expandFunc {
	return func(v Document) ([]Member, string) {
		records := make([]Document, len(v.Elements()))
		for i, e := range v.Elements() {
			name, port, has := splitPort(e.Text())
			n, err := strconv.ParseUint(port, 10, 16)
			if !has || err != nil {
				return nil, "expected host:port: " + e.Text()
			}
			records[i] = Object(Member{host, String(name)}, Member{"port", Int(int64(n))})
		}
		return []Member{{field, List(records...)}}, ""
	}
}
