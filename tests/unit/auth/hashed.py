"""One password with its hashes, as openssl, libcrypt and the argon2 command write them; all are cheap to check."""

PASSWORD = "pässword".encode()
BCRYPT = "$2b$04$QjZP/TPZfy5EDdssjAcP9O4cb/VJktz9jqlPjhJ8N5mcD4QrHjuMy"
HASHES = {
    "bcrypt 2b": BCRYPT,
    "bcrypt 2a": BCRYPT.replace("$2b$", "$2a$"),
    "bcrypt 2y": "$2y$04$abcdefghijklmnopqrstuum174eFeoTj0DHmtuueFaS3Wde4P7wHG",
    "SHA-256-crypt": "$5$abcdefgh$PMzeX.3Tb43iNPh8ENNzPM9M7q/BLyRKM1Djd5s4Nu8",
    "SHA-512-crypt": "$6$abcdefghijklmnop$PgfBRn5NkXbA2XZtilnguWKQpJpfJShmLyZHZeZDGfPC0OAI0h9GDSq13PAh4FBaE5zk5GFVxj."
    "FP0gNFfKla1",
    "SHA-256-crypt with rounds": "$5$rounds=1000$saltsalt$k0ylRWLHVlBxnL.QHEV.f8gDch7ScqF5//h.mx1WAa9",
    "SHA-512-crypt with rounds": "$6$rounds=1000$saltsalt$GRg0cJEHso4LJZYmvs6cl1YziCrkl3pvdLeF58R.fERGV/fOgD8w6F4Ljko0"
    "wttVnHPN.v.Sy4JUmYierjxw6/",
    "argon2id": "$argon2id$v=19$m=64,t=1,p=1$pyxVFAP7i93MTYqOnLDZdQ$Z4lunjUytk6mHRJwTO+BlbvML2NsQ2VzY8w6ASYtDqw",
    "argon2i": "$argon2i$v=19$m=64,t=1,p=1$PKpijSdyWnvrxQr5rBlQtQ$7kuE9Fj3TqLkSNHjnuJh+wnHMuiBNKlW9AAe5zVL1Wc",
    "argon2d": "$argon2d$v=19$m=64,t=1,p=1$D4yfSX4CfUMEGJBpOW5bAA$Rmp1vM7ro5JTlcEuDw5lbzqugZ4Hu4syT8NfR3sO7bE",
}
