// Package schema is the engine behind every entity and plugin configuration.
// It reads the options of their protobuf messages once, and from then on
// decodes bodies, fills in defaults, judges, renders, describes and converts
// with them. It knows no entity and no plugin by name, keeps no state but the
// compiled schemas, and touches neither store nor network.
//
// An entity may hold a configuration that depends on one of its fields, its
// subschema key: a plugin's on the name, a vault's on the type. Each is a
// message of its own, which Variant finds.
//
// A body becomes an entity in this order: ParseObject or DecodeForm; Expand;
// Complete, or Merge with the stored entity for a PATCH; Lookups, whose
// references the caller resolves; Validate, or ValidateUpdate; Transform; Stored.
// What is stored is shown by Render, found by Index, and sent to data planes as the
// Message.
package schema
