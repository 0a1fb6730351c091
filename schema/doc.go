// Package schema is the engine behind every entity and plugin configuration.
// It reads the options of their protobuf messages once, and from then on
// decodes bodies, fills in defaults, judges, renders, describes and converts
// with them. It knows no entity and no plugin by name, keeps no state but the
// compiled schemas, and touches neither store nor network.
package schema
