package plugin

import (
	"cmp"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"fmt"
	"hash"
	"io"
	"slices"
	"sync"
	"time"

	entitypb "github.com/gibbon-gateway/gibbon/gen/gibbon/entity/v1"
)

// Consumer is a consumer, ready for use.
type Consumer struct {
	ID, Username, CustomID string
	// Groups are those that the consumer is in, sorted by name.
	Groups []*ConsumerGroup
	// JSON is the entity as the log object shows it.
	JSON []byte
}

// ConsumerGroup is a group of consumers.
type ConsumerGroup struct{ ID, Name string }

// Credential is what a caller showed to prove who it is.
type Credential struct {
	ID       string
	Consumer *Consumer
	// Expires is when the credential ends; zero: never.
	Expires time.Time

	hash [sha256.Size]byte
}

// Consumers finds consumers and credentials. It never changes once it is built,
// and it holds keys as keyed hashes only.
type Consumers struct {
	pepper [sha256.Size]byte
	macs   sync.Pool // of hash.Hash with the pepper as their key
	byID   map[string]*Consumer
	byName map[string]*Consumer
	groups map[string]*ConsumerGroup // by id
	keys   map[[sha256.Size]byte]*Credential
}

// NewConsumers makes an empty set, which the runtime fills.
func NewConsumers() *Consumers {
	c := &Consumers{
		byID:   make(map[string]*Consumer),
		byName: make(map[string]*Consumer),
		groups: make(map[string]*ConsumerGroup),
		keys:   make(map[[sha256.Size]byte]*Credential),
	}
	// The pepper never leaves the process: it only keeps the hashes from being
	// useful to someone who reads the memory of a crashed node.
	rand.Read(c.pepper[:])
	return c
}

// Add puts a consumer into the set, with the JSON that logs show.
func (c *Consumers) Add(consumer *entitypb.Consumer, json []byte) {
	entry := &Consumer{
		ID:       consumer.GetId(),
		Username: consumer.GetUsername(),
		CustomID: consumer.GetCustomId(),
		JSON:     json,
	}
	c.byID[entry.ID] = entry
	if entry.Username != "" {
		c.byName[entry.Username] = entry
	}
}

// AddGroup puts a group into the set.
func (c *Consumers) AddGroup(group *entitypb.ConsumerGroup) {
	c.groups[group.GetId()] = &ConsumerGroup{ID: group.GetId(), Name: group.GetName()}
}

// AddMember puts a consumer into a group. Both must be in the set.
func (c *Consumers) AddMember(m *entitypb.ConsumerGroupConsumer) error {
	consumer, ok := c.byID[m.GetConsumer().GetId()]
	if !ok {
		return fmt.Errorf("consumer %q does not exist", m.GetConsumer().GetId())
	}
	group, ok := c.groups[m.GetConsumerGroup().GetId()]
	if !ok {
		return fmt.Errorf("consumer group %q does not exist", m.GetConsumerGroup().GetId())
	}
	at, _ := slices.BinarySearchFunc(consumer.Groups, group, func(a, b *ConsumerGroup) int {
		return cmp.Or(cmp.Compare(a.Name, b.Name), cmp.Compare(a.ID, b.ID))
	})
	consumer.Groups = slices.Insert(consumer.Groups, at, group)
	return nil
}

// AddKey puts an API key into the set. Its consumer must be there.
func (c *Consumers) AddKey(key *entitypb.KeyauthCredential) error {
	consumer, ok := c.byID[key.GetConsumer().GetId()]
	if !ok {
		return fmt.Errorf("consumer %q does not exist", key.GetConsumer().GetId())
	}
	credential := &Credential{ID: key.GetId(), Consumer: consumer, hash: c.digest(key.GetKey())}
	if at := key.GetExpiresAt(); at > 0 {
		credential.Expires = time.Unix(at, 0)
	}
	c.keys[credential.hash] = credential
	return nil
}

// ByID finds a consumer by its id.
func (c *Consumers) ByID(id string) (*Consumer, bool) {
	consumer, ok := c.byID[id]
	return consumer, ok
}

// Find finds a consumer by its id or its username.
func (c *Consumers) Find(reference string) (*Consumer, bool) {
	if consumer, ok := c.byID[reference]; ok {
		return consumer, true
	}
	consumer, ok := c.byName[reference]
	return consumer, ok
}

// Key finds the credential that has this API key and has not ended at the given
// time. How long it takes says nothing about the keys that exist.
func (c *Consumers) Key(key string, at time.Time) (*Credential, bool) {
	hash := c.digest(key)
	credential, ok := c.keys[hash]
	if !ok || subtle.ConstantTimeCompare(credential.hash[:], hash[:]) != 1 {
		return nil, false
	}
	if !credential.Expires.IsZero() && !at.Before(credential.Expires) {
		return nil, false
	}
	return credential, true
}

func (c *Consumers) digest(key string) (sum [sha256.Size]byte) {
	// Half of what a digest costs is to make the HMAC, and it can be used again.
	mac, ok := c.macs.Get().(hash.Hash)
	if !ok {
		mac = hmac.New(sha256.New, c.pepper[:])
	}
	defer c.macs.Put(mac)
	mac.Reset()
	_, _ = io.WriteString(mac, key) // a hash takes everything
	mac.Sum(sum[:0])
	return sum
}
