// Package enginetest holds the engine against a slow and obvious reference
// (internal/correlate/reference), on generated rules and logs. It is tests only.
package enginetest
