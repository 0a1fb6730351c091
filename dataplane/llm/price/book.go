package price

import (
	"bytes"
	_ "embed"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"
	"sync/atomic"
	"time"
)

// Schema is the layout of price lists that this package reads.
const Schema = 1

// MaxFile is the largest price list that is read, in bytes.
const MaxFile = 4 << 20

//go:embed prices.json
var builtin []byte

// List is a price list: prices by provider and by the names of models. It never
// changes.
type List struct {
	// Date is the day, as 2006-01-02, on which the prices were true.
	Date string
	// Currency is the code of the currency: USD.
	Currency string

	byProvider map[string][]entry
}

type entry struct {
	pattern string // lower case; a star stands for any text
	literal int    // bytes of pattern without stars
	prices  *Prices
}

// file is a price list as it is written. Prices are for a million tokens.
type file struct {
	Schema   int         `json:"schema"`
	Date     string      `json:"date"`
	Currency string      `json:"currency"`
	Note     string      `json:"note"`
	Models   []fileModel `json:"models"`
}

type fileModel struct {
	Providers []string `json:"providers"`
	Models    []string `json:"models"`
	Input     *float64 `json:"input"`
	Output    *float64 `json:"output"`
	// CacheRead and CacheWrite are input's price when absent; CacheWriteLong, for
	// what is kept for an hour, is CacheWrite's.
	CacheRead      *float64     `json:"cache_read"`
	CacheWrite     *float64     `json:"cache_write"`
	CacheWriteLong *float64     `json:"cache_write_1h"`
	Above          []fileWindow `json:"above"`
	Tiers          []fileTier   `json:"tiers"`
}

type fileWindow struct {
	Tokens int64   `json:"tokens"`
	Input  float64 `json:"input_factor"`
	Output float64 `json:"output_factor"`
}

type fileTier struct {
	Tier   string  `json:"tier"`
	Factor float64 `json:"factor"`
}

// Builtin is the list that comes with the program.
func Builtin() (*List, error) {
	list, err := Parse(builtin)
	if err != nil {
		return nil, fmt.Errorf("built-in price list: %w", err)
	}
	return list, nil
}

// Parse reads a price list. The error says which entry is wrong and how.
func Parse(text []byte) (*List, error) {
	if len(text) > MaxFile {
		return nil, fmt.Errorf("longer than %d bytes", MaxFile)
	}
	var f file
	decoder := json.NewDecoder(bytes.NewReader(text))
	// A misspelt member would be a price that silently does not count.
	decoder.DisallowUnknownFields()
	if err := decoder.Decode(&f); err != nil {
		return nil, fmt.Errorf("read JSON: %w", err)
	}
	if err := decoder.Decode(&struct{}{}); !errors.Is(err, io.EOF) {
		return nil, errors.New("there is more behind the list")
	}
	if f.Schema != Schema {
		return nil, fmt.Errorf("schema is %d, want %d", f.Schema, Schema)
	}
	if _, err := time.Parse(time.DateOnly, f.Date); err != nil {
		return nil, fmt.Errorf("date %q is not of the form 2006-01-02", f.Date)
	}
	if f.Currency == "" {
		return nil, errors.New("currency is missing")
	}
	list := &List{Date: f.Date, Currency: f.Currency, byProvider: make(map[string][]entry)}
	for i := range f.Models {
		if err := list.add(&f.Models[i]); err != nil {
			return nil, fmt.Errorf("models[%d]: %w", i, err)
		}
	}
	return list, nil
}

func (l *List) add(m *fileModel) error {
	prices, err := m.prices()
	if err != nil {
		return err
	}
	if len(m.Providers) == 0 {
		return errors.New("providers is missing")
	}
	if len(m.Models) == 0 {
		return errors.New("models is missing")
	}
	for _, provider := range m.Providers {
		for _, pattern := range m.Models {
			pattern = strings.ToLower(pattern)
			if pattern == "" {
				return errors.New("models has an empty name")
			}
			for _, other := range l.byProvider[provider] {
				if other.pattern == pattern {
					return fmt.Errorf("%s %q has prices already", provider, pattern)
				}
			}
			l.byProvider[provider] = append(l.byProvider[provider], entry{
				pattern: pattern, literal: len(pattern) - strings.Count(pattern, "*"), prices: prices,
			})
		}
	}
	return nil
}

func (m *fileModel) prices() (*Prices, error) {
	if m.Input == nil || m.Output == nil {
		return nil, errors.New("input and output must both be set")
	}
	for _, price := range []struct {
		name  string
		value *float64
	}{
		{"input", m.Input}, {"output", m.Output}, {"cache_read", m.CacheRead},
		{"cache_write", m.CacheWrite}, {"cache_write_1h", m.CacheWriteLong},
	} {
		if price.value != nil && *price.value < 0 {
			return nil, fmt.Errorf("%s is below 0", price.name)
		}
	}
	or := func(price *float64, other Money) Money {
		if price == nil {
			return other
		}
		return each(*price)
	}
	p := &Prices{input: each(*m.Input), output: each(*m.Output)}
	p.read, p.write = or(m.CacheRead, p.input), or(m.CacheWrite, p.input)
	p.long = or(m.CacheWriteLong, p.write)
	for _, w := range m.Above {
		if w.Tokens < 0 || w.Input <= 0 || w.Output <= 0 {
			return nil, errors.New("above needs tokens, input_factor and output_factor, none below 0")
		}
		p.windows = append(p.windows, window{w.Tokens, factor(w.Input), factor(w.Output)})
	}
	for _, t := range m.Tiers {
		if t.Tier == "" || t.Factor <= 0 {
			return nil, errors.New("tiers needs tier and factor")
		}
		p.tiers = append(p.tiers, tier{strings.ToLower(t.Tier), factor(t.Factor)})
	}
	return p, nil
}

// Find gives the prices of a provider's model, nil when the list has none. Of
// several patterns that fit, the one that leaves the least open counts.
func (l *List) Find(provider, model string) *Prices {
	if l == nil || model == "" {
		return nil
	}
	var best *entry
	for entries, i := l.byProvider[provider], 0; i < len(entries); i++ {
		e := &entries[i]
		if (best == nil || e.literal > best.literal) && fits(e.pattern, model) {
			best = e
		}
	}
	if best == nil {
		return nil
	}
	return best.prices
}

// fits tells whether a name matches a pattern, without regard to case.
func fits(pattern, name string) bool {
	// Where to go on when what follows the last star does not fit.
	star, resume := -1, 0
	p, n := 0, 0
	for n < len(name) {
		switch {
		case p < len(pattern) && pattern[p] == '*':
			star, resume = p, n
			p++
		case p < len(pattern) && pattern[p] == lower(name[n]):
			p++
			n++
		case star >= 0:
			resume++
			p, n = star+1, resume
		default:
			return false
		}
	}
	return strings.Trim(pattern[p:], "*") == ""
}

func lower(c byte) byte {
	if 'A' <= c && c <= 'Z' {
		return c | 0x20
	}
	return c
}

// Book holds the list in force, which may be replaced while calls are priced. The
// zero value has no prices; so has a nil *Book.
type Book struct{ list atomic.Pointer[List] }

// Set puts a list in force; nil: none.
func (b *Book) Set(l *List) { b.list.Store(l) }

// Find gives the prices of a call by the list in force: those of the model that
// answered, else those of the one that was asked. Nil when it has none.
func (b *Book) Find(provider, answered, asked string) *Prices {
	if b == nil {
		return nil
	}
	list := b.list.Load()
	if prices := list.Find(provider, answered); prices != nil {
		return prices
	}
	return list.Find(provider, asked)
}
