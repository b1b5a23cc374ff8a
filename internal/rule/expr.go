package rule

// Expr is a compiled CEL expression with its place in the file.
type Expr struct{ Text string }

// Value is a compiled argument: literals with ${CEL} in them.
type Value struct{}
