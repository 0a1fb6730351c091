package plugin_test

import "encoding/json"

func unmarshal(data []byte, into *string) error { return json.Unmarshal(data, into) }
