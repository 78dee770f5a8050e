package wire

import (
	"net/url"
	"strings"
)

// Segments splits a path; the .json that old clients append says nothing, but in
// what is below the verbatim segment it is a part of it.
func Segments(escaped, verbatim string) ([]string, error) {
	escaped = strings.Trim(escaped, "/")
	parts := strings.Split(escaped, "/")
	if last := len(parts) - 1; last < 2 || parts[last-1] != verbatim {
		parts[last] = strings.TrimSuffix(parts[last], ".json")
	}
	if len(parts) == 1 && parts[0] == "" {
		return nil, nil
	}
	for i, p := range parts {
		s, err := url.PathUnescape(p)
		if err != nil {
			return nil, BadRequest("The path is malformed")
		}
		parts[i] = s
	}
	return parts, nil
}
