#include "compression/page_digest.h"

#include <openssl/evp.h>

#include <memory>

namespace wherry {
namespace {

// Looked up once, because that takes longer than to digest a page. Null if there is none.
const EVP_MD* sha256() {
  static const std::unique_ptr<EVP_MD, decltype(&EVP_MD_free)> method(
      EVP_MD_fetch(nullptr, "SHA256", nullptr), EVP_MD_free);
  return method.get();
}

}  // namespace

Result<PageDigest> digest_page(const uint8_t* page, uint32_t page_size) {
  thread_local const std::unique_ptr<EVP_MD_CTX, decltype(&EVP_MD_CTX_free)> context(EVP_MD_CTX_new(),
                                                                                     EVP_MD_CTX_free);
  PageDigest digest;
  const bool done = context && sha256() && EVP_DigestInit_ex2(context.get(), sha256(), nullptr) == 1 &&
                    EVP_DigestUpdate(context.get(), page, page_size) == 1 &&
                    EVP_DigestFinal_ex(context.get(), digest.data(), nullptr) == 1;
  if (!done) return fail("OpenSSL computes no SHA-256 here (openssl.cnf?), which verify=on needs");
  return digest;
}

}  // namespace wherry
