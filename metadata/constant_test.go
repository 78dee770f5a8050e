package metadata

import (
	"go/ast"
	"go/parser"
	"go/token"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// A signature that is compared byte by byte, and no further than the first
// difference, tells by its time how much of a guess was right (CVE-2014-3517).
// So what [hmac.New] made is compared by hmac.Equal (bcrypt does the same by
// itself), and by nothing else, wherever secrets are looked at. Time itself is
// not measured here: for 32 bytes it is below what a machine shows; see
// [BenchmarkS2ASignatureIsCompared].
func TestS2SignaturesAreComparedInConstantTime(t *testing.T) {
	compared := 0
	for _, dir := range []string{".", "../auth"} {
		files, err := filepath.Glob(filepath.Join(dir, "*.go"))
		if err != nil {
			t.Fatal(err)
		}
		for _, path := range files {
			if strings.HasSuffix(path, "_test.go") {
				continue
			}
			set := token.NewFileSet()
			f, err := parser.ParseFile(set, path, nil, 0)
			if err != nil {
				t.Fatal(err)
			}
			for _, d := range f.Decls {
				if fn, ok := d.(*ast.FuncDecl); ok && fn.Body != nil {
					good, bad := comparisons(fn)
					compared += good
					for _, n := range bad {
						t.Errorf("%s: %s compares a signature otherwise than by hmac.Equal", set.Position(n.Pos()), fn.Name.Name)
					}
				}
			}
		}
	}
	if compared == 0 {
		t.Error("no comparison of a signature was found; does this test still know how they are made?")
	}
}

// comparisons counts the comparisons of signatures by hmac.Equal in a function,
// and finds the others.
func comparisons(fn *ast.FuncDecl) (good int, bad []ast.Node) {
	var secret []string // variables that hold a signature
	holds := func(e ast.Node) bool {
		found := false
		ast.Inspect(e, func(n ast.Node) bool {
			switch n := n.(type) {
			case *ast.CallExpr:
				found = found || slices.Contains([]string{"sign", "Sum"}, called(n)) && len(n.Args) > 0
			case *ast.Ident:
				found = found || slices.Contains(secret, n.Name)
			}
			return !found
		})
		return found
	}
	ast.Inspect(fn.Body, func(n ast.Node) bool {
		switch n := n.(type) {
		case *ast.AssignStmt:
			for i, e := range n.Rhs {
				if id, ok := n.Lhs[min(i, len(n.Lhs)-1)].(*ast.Ident); ok && holds(e) {
					secret = append(secret, id.Name)
				}
			}
		case *ast.BinaryExpr:
			if slices.Contains([]token.Token{token.EQL, token.NEQ, token.LSS, token.GTR}, n.Op) && (holds(n.X) && !equal(n.X) || holds(n.Y) && !equal(n.Y)) {
				bad = append(bad, n)
			}
		case *ast.SwitchStmt:
			if n.Tag != nil && holds(n.Tag) {
				bad = append(bad, n)
			}
		case *ast.CallExpr:
			if equal(n) && slices.ContainsFunc(n.Args, func(e ast.Expr) bool { return holds(e) }) {
				good++
			} else if strings.HasPrefix(called(n), "Equal") || called(n) == "Compare" || called(n) == "DeepEqual" {
				if slices.ContainsFunc(n.Args, func(e ast.Expr) bool { return holds(e) }) {
					bad = append(bad, n)
				}
			}
		}
		return true
	})
	return good, bad
}

// called is the name of the function or method that is called.
func called(c *ast.CallExpr) string {
	switch f := c.Fun.(type) {
	case *ast.Ident:
		return f.Name
	case *ast.SelectorExpr:
		return f.Sel.Name
	}
	return ""
}

// equal reports whether it is a call of hmac.Equal.
func equal(n ast.Node) bool {
	c, ok := n.(*ast.CallExpr)
	if !ok {
		return false
	}
	f, ok := c.Fun.(*ast.SelectorExpr)
	if !ok {
		return false
	}
	p, ok := f.X.(*ast.Ident)
	return ok && p.Name == "hmac" && f.Sel.Name == "Equal"
}

// What there is to measure: a token with a signature that is right, wrong in
// its first byte, or in its last.
func BenchmarkS2ASignatureIsCompared(b *testing.B) {
	k := newTokens([]byte("key"))
	i := Instance{Port: "p1"}
	right := k.make(i, maxTTL)
	first, last := []byte(right), []byte(right)
	first[12] ^= 1 // base64 of byte 9, the signature's second: the first shares its letter with the end
	last[len(last)-2] ^= 1
	for _, c := range []struct{ name, token string }{{"right", right}, {"wrong at the start", string(first)}, {"wrong at the end", string(last)}} {
		b.Run(c.name, func(b *testing.B) {
			for b.Loop() {
				if k.valid(c.token, i) != (c.token == right) {
					b.Fatal("it was taken for the contrary")
				}
			}
		})
	}
}
