package feed

import (
	"bytes"
	"context"
	"encoding/json"
	"os"
)

// StoredHost is the name of the host that the stored view in a file is of, "" for
// no file and for one that cannot be read.
func StoredHost(_ context.Context, path string) string {
	b, err := os.ReadFile(path)
	if err != nil {
		return ""
	}
	_, body, _ := bytes.Cut(b, []byte("\n"))
	var s struct {
		Host string `json:"host"`
	}
	if json.Unmarshal(body, &s) != nil {
		return ""
	}
	return s.Host
}
