package snmp

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/des" //nolint:gosec // devices still use it
	"crypto/hmac"
	"crypto/md5"  //nolint:gosec // RFC 3414
	"crypto/sha1" //nolint:gosec // RFC 3414
	"crypto/sha256"
	"crypto/sha512"
	"encoding/binary"
	"errors"
	"fmt"
	"hash"
	"strings"
)

// The user-based security model: RFC 3414 (MD5, SHA, DES), RFC 7860 (SHA-2),
// RFC 3826 (AES-128). AES-192 and AES-256 have no RFC; two ways to stretch
// keys are in use, Blumenthal's (AES192, AES256: net-snmp) and Reeder's
// (AES192C, AES256C: Cisco).
//
// It is our own rather than gosnmp's since a receiver must look at engine,
// user, level, signature and time in this order, report what is wrong, and
// keep the bytes of what it decrypted; gosnmp's decoder does none of that
// (and takes an authNoPriv trap of an authPriv user).

// authProtocol is one way to sign.
type authProtocol struct {
	hash func() hash.Hash
	size int // of the signature, cut off
}

func authOf(name string) *authProtocol {
	switch strings.ReplaceAll(strings.ToUpper(name), "-", "") {
	case "MD5":
		return &authProtocol{md5.New, 12}
	case "SHA", "SHA1":
		return &authProtocol{sha1.New, 12}
	case "SHA224":
		return &authProtocol{sha256.New224, 16}
	case "SHA256":
		return &authProtocol{sha256.New, 24}
	case "SHA384":
		return &authProtocol{sha512.New384, 32}
	case "SHA512":
		return &authProtocol{sha512.New, 48}
	}
	return nil
}

// privProtocol is one way to encrypt.
type privProtocol struct {
	des    bool
	size   int // of the key
	reeder bool
}

func privOf(name string) *privProtocol {
	switch strings.ReplaceAll(strings.ToUpper(name), "-", "") {
	case "DES":
		return &privProtocol{des: true, size: 16}
	case "AES", "AES128":
		return &privProtocol{size: 16}
	case "AES192":
		return &privProtocol{size: 24}
	case "AES256":
		return &privProtocol{size: 32}
	case "AES192C":
		return &privProtocol{size: 24, reeder: true}
	case "AES256C":
		return &privProtocol{size: 32, reeder: true}
	}
	return nil
}

// user is a User ready for work. The keys are those before localisation, so
// that a message costs one hash and not a megabyte of them.
type user struct {
	name     string
	engineID string // "" for any
	level    secLevel
	auth     *authProtocol
	priv     *privProtocol
	authKu   []byte
	privKu   []byte
}

func newUser(c User) (*user, error) {
	u := &user{name: c.Name, auth: authOf(c.Auth.Protocol), priv: privOf(c.Priv.Protocol)}
	u.engineID, _ = engineIDOf(c.EngineID) // Validate has read it
	var err error
	if u.auth != nil {
		u.level = levelAuth
		if u.authKu, err = passwordKey(u.auth, c.Auth); err != nil {
			return nil, fmt.Errorf("user %s: auth: %w", c.Name, err)
		}
	}
	if u.priv != nil {
		u.level = levelPriv
		if u.privKu, err = passwordKey(u.auth, c.Priv); err != nil {
			return nil, fmt.Errorf("user %s: priv: %w", c.Name, err)
		}
	}
	if c.Level != "" {
		u.level, _ = levelOf(c.Level)
	}
	return u, nil
}

func passwordKey(a *authProtocol, p Protocol) ([]byte, error) {
	password, err := p.Secret.Value()
	if err != nil {
		return nil, err
	}
	if len(password) < 8 {
		return nil, errors.New("the secret is shorter than the 8 characters that RFC 3414 requires")
	}
	return stretch(a, []byte(password)), nil
}

// stretch hashes a megabyte of the password repeated (RFC 3414, A.2).
func stretch(a *authProtocol, password []byte) []byte {
	const total = 1 << 20
	h := a.hash()
	block := make([]byte, 0, 4096+len(password))
	for len(block) < 4096 {
		block = append(block, password...)
	}
	left := total
	for left > 0 {
		n := min(left, len(block))
		h.Write(block[:n])
		left -= n
	}
	return h.Sum(nil)
}

// localise binds a key to one engine (RFC 3414, 2.6).
func localise(a *authProtocol, ku []byte, engineID string) []byte {
	h := a.hash()
	h.Write(ku)
	h.Write([]byte(engineID))
	h.Write(ku)
	return h.Sum(nil)
}

func (u *user) authKey(engineID string) []byte { return localise(u.auth, u.authKu, engineID) }

// privKey makes the key that encrypts. Reeder's way costs two megabytes of
// hashing, so ask for it only after a message has proved authentic.
func (u *user) privKey(engineID string) []byte {
	key := localise(u.auth, u.privKu, engineID)
	for len(key) < u.priv.size {
		if u.priv.reeder {
			key = append(key, localise(u.auth, stretch(u.auth, key), engineID)...)
		} else {
			h := u.auth.hash()
			h.Write(key)
			key = h.Sum(key)
		}
	}
	return key[:u.priv.size]
}

// sign computes the signature of a message whose field for it is zeros.
func sign(a *authProtocol, key, message []byte) []byte {
	m := hmac.New(a.hash, key)
	m.Write(message)
	return m.Sum(nil)[:a.size]
}

// iv makes the initialisation vector of AES (RFC 3826, 3.1.2.1).
func aesIV(boots, seconds uint32, salt []byte) []byte {
	iv := make([]byte, 16)
	binary.BigEndian.PutUint32(iv, boots)
	binary.BigEndian.PutUint32(iv[4:], seconds)
	copy(iv[8:], salt)
	return iv
}

func decrypt(p *privProtocol, key []byte, boots, seconds uint32, salt, in []byte) ([]byte, error) {
	if len(salt) != 8 {
		return nil, fmt.Errorf("privacy parameters of %d bytes: want 8", len(salt))
	}
	out := make([]byte, len(in))
	if !p.des {
		block, err := aes.NewCipher(key)
		if err != nil {
			return nil, err
		}
		//lint:ignore SA1019 RFC 3826 asks for CFB
		cipher.NewCFBDecrypter(block, aesIV(boots, seconds, salt)).XORKeyStream(out, in)
		return out, nil
	}
	if len(in) == 0 || len(in)%des.BlockSize != 0 {
		return nil, fmt.Errorf("%d encrypted bytes are no whole blocks of DES", len(in))
	}
	block, err := des.NewCipher(key[:8])
	if err != nil {
		return nil, err
	}
	cipher.NewCBCDecrypter(block, desIV(key, salt)).CryptBlocks(out, in)
	return out, nil
}

func encrypt(p *privProtocol, key []byte, boots, seconds uint32, salt, in []byte) ([]byte, error) {
	if !p.des {
		out := make([]byte, len(in))
		block, err := aes.NewCipher(key)
		if err != nil {
			return nil, err
		}
		//lint:ignore SA1019 RFC 3826 asks for CFB
		cipher.NewCFBEncrypter(block, aesIV(boots, seconds, salt)).XORKeyStream(out, in)
		return out, nil
	}
	padded := append([]byte(nil), in...)
	for len(padded)%des.BlockSize != 0 {
		padded = append(padded, 0)
	}
	block, err := des.NewCipher(key[:8])
	if err != nil {
		return nil, err
	}
	cipher.NewCBCEncrypter(block, desIV(key, salt)).CryptBlocks(padded, padded)
	return padded, nil
}

// desIV mixes the salt with the second half of the key (RFC 3414, 8.1.1.1).
func desIV(key, salt []byte) []byte {
	iv := make([]byte, 8)
	for i := range iv {
		iv[i] = key[8+i] ^ salt[i]
	}
	return iv
}
