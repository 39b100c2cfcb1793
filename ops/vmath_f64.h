// vmath for float64 lanes.
#pragma once
namespace kiln::ops::vmath::f64 {
template <class S>
S exp(S x);
template <class S>
S expm1(S x);
template <class S>
S log(S x);
template <class S>
S log1p(S x);
template <class S>
S tanh(S x);
template <class S>
S erf(S x);
template <class S>
S sigmoid(S x);
template <class S>
S sin(S x);
template <class S>
S cos(S x);
template <class S>
S pow(S a, S b);
template <class S>
S remainder(S a, S b);
}  // namespace kiln::ops::vmath::f64
