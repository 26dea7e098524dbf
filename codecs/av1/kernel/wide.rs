//! One text, two copies: for any processor of the target, and for those with wider vectors.

/// Declares a function whose body is an inlined one: `wide! { /// doc
/// pub fn name(argument: Type) = body; }`. Where AVX2 is found it runs a copy compiled for it. The arithmetic of both
/// copies is the same text over integers, so the results are too.
macro_rules! wide {
    ($($(#[$meta:meta])* $vis:vis fn $name:ident($($arg:ident: $type:ty),* $(,)?) $(-> $out:ty)? = $body:path;)+) => {
        $($(#[$meta])*
        $vis fn $name($($arg: $type),*) $(-> $out)? {
            #[cfg(target_arch = "x86_64")]
            {
                $(#[$meta])*
                #[target_feature(enable = "avx2")]
                fn avx2($($arg: $type),*) $(-> $out)? {
                    $body($($arg),*)
                }
                if std::arch::is_x86_feature_detected!("avx2") {
                    // SAFETY: the processor has AVX2.
                    return unsafe { avx2($($arg),*) };
                }
            }
            $body($($arg),*)
        })+
    };
}
