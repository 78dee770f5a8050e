package api

import (
	"fmt"
	"runtime"
	"strings"
	"testing"
)

// A long list is written by several processors and says what its short pages say,
// to whoever asks: a part too few, an end too early or a rule of another caller
// would show.
func TestALongListSaysWhatItsPagesSay(t *testing.T) {
	if runtime.GOMAXPROCS(0) < 2 {
		defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(2))
	}
	c := newCloud(t)
	c.do("PUT", "/v2.0/quotas/alice", `{"quota":{"network":-1}}`).want(200)
	alice := []string{"X-Project-Id", "alice", "X-Roles", "member"}
	n := 0
	for _, upTo := range []int{2*rowsOfPart - 1, 2 * rowsOfPart, 2*rowsOfPart + 1, 3*rowsOfPart + 7} {
		var names []string
		for ; n < upTo; n++ {
			names = append(names, fmt.Sprintf(`{"name":"n%d","shared":%t,"project_id":"alice"}`, n, n%3 == 0))
		}
		c.do("POST", "/v2.0/networks", `{"networks":[`+strings.Join(names, ",")+`]}`).want(201)
		for _, who := range [][]string{nil, alice} {
			long := c.get("/v2.0/networks", who...).want(200).list("networks")
			var short []any
			for len(short) < upTo {
				query := "/v2.0/networks?limit=100"
				if len(short) > 0 {
					query += "&marker=" + short[len(short)-1].(map[string]any)["id"].(string)
				}
				for _, network := range c.get(query, who...).want(200).list("networks") {
					short = append(short, network)
				}
			}
			if len(long) != upTo || len(short) != upTo {
				t.Fatalf("%v gets %d networks, and %d in pages, of %d", who, len(long), len(short), upTo)
			}
			for i := range long {
				if got, want := fmt.Sprint(long[i]), fmt.Sprint(short[i]); got != want {
					t.Fatalf("%v, %d of %d:\n%s\nin a page:\n%s", who, i, upTo, got, want)
				}
			}
		}
	}
}
