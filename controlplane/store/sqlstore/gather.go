package sqlstore

// form is a statement that PostgreSQL can also run for many rows at once: it
// then takes an array for each parameter. A load of thousands of entities takes
// a tenth of the time like that.
type form struct{ one, many string }

var (
	insertEntity = &form{
		`insert into entity (kind, id, workspace, document, expires_at) values ($1, $2, $3, $4, $5)`,
		`insert into entity (kind, id, workspace, document, expires_at)
			select * from unnest($1::text[], $2::text[], $3::text[], $4::text[], $5::bigint[])`,
	}
	updateEntity = &form{
		`update entity set workspace = $3, document = $4, expires_at = $5 where kind = $1 and id = $2`,
		`update entity e set workspace = n.workspace, document = n.document, expires_at = n.expires_at
			from unnest($1::text[], $2::text[], $3::text[], $4::text[], $5::bigint[]) n (kind, id, workspace, document, expires_at)
			where e.kind = n.kind and e.id = n.id`,
	}
	insertUnique = &form{
		`insert into unique_value (workspace, kind, field, value, id) values ($1, $2, $3, $4, $5)`,
		`insert into unique_value (workspace, kind, field, value, id)
			select * from unnest($1::text[], $2::text[], $3::text[], $4::text[], $5::text[])`,
	}
	insertReference = &form{
		`insert into reference (kind, id, field, target_kind, target_id, rule) values ($1, $2, $3, $4, $5, $6)`,
		`insert into reference (kind, id, field, target_kind, target_id, rule)
			select * from unnest($1::text[], $2::text[], $3::text[], $4::text[], $5::text[], $6::text[])`,
	}
	insertTag = &form{ // A tag that is given twice is one tag.
		`insert into entity_tag (workspace, tag, kind, id) values ($1, $2, $3, $4) on conflict do nothing`,
		`insert into entity_tag (workspace, tag, kind, id)
			select * from unnest($1::text[], $2::text[], $3::text[], $4::text[]) on conflict do nothing`,
	}
	deleteEntity     = deleting("entity")
	deleteUniques    = deleting("unique_value")
	deleteReferences = deleting("reference")
	deleteTags       = deleting("entity_tag")
)

// deleting deletes the rows of an entity from a table.
func deleting(table string) *form {
	return &form{
		`delete from ` + table + ` where kind = $1 and id = $2`,
		`delete from ` + table + ` t using unnest($1::text[], $2::text[]) d (kind, id) where t.kind = d.kind and t.id = d.id`,
	}
}

// gatherLeast is how many rows make it worth while to gather them. Statements
// that are not gathered tell which of them met a duplicate.
const gatherLeast = 50

// gather turns neighbouring statements of one form into one.
func gather(statements []statement) []statement {
	var out []statement
	for len(statements) > 0 {
		n := batchLength(statements)
		for i := range n {
			if statements[i].form != statements[0].form {
				n = i
				break
			}
		}
		if f := statements[0].form; f != nil && n >= gatherLeast {
			out = append(out, statement{sql: f.many, args: arrays(statements[:n]), gathered: true})
		} else {
			out = append(out, statements[:n]...)
		}
		statements = statements[n:]
	}
	return out
}

// arrays turns the arguments of statements, which are texts but for numbers that
// may be null, into an array for each parameter.
func arrays(statements []statement) []any {
	out := make([]any, len(statements[0].args))
	for i := range out {
		if _, ok := statements[0].args[i].(string); ok {
			texts := make([]string, len(statements))
			for j, s := range statements {
				texts[j] = s.args[i].(string)
			}
			out[i] = texts
			continue
		}
		numbers := make([]*int64, len(statements))
		for j, s := range statements {
			if n, ok := s.args[i].(int64); ok {
				numbers[j] = &n
			}
		}
		out[i] = numbers
	}
	return out
}

// of makes a statement of a form for one row.
func (f *form) of(args ...any) statement { return statement{sql: f.one, form: f, args: args} }

// lockMany finds and locks the rows of many keys.
const lockMany = `select ` + columns + ` from unnest($1::text[], $2::text[]) k (kind, id)
	join entity e on e.kind = k.kind and e.id = k.id where ` + visible + `$3) for no key update of e`
