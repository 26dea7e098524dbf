//! What a free account shows before its meetings are end-to-end encrypted, so that abuse has somebody behind it.

/// What is asked of free accounts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize)]
pub struct FreeAccounts {
    /// A valid billing option on file.
    pub billing_option: bool,
    /// A phone number that was verified.
    pub verified_phone: bool,
}

/// The host's account, as the service that keeps it says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Account {
    /// Whether nothing is paid for it.
    pub free: bool,
    /// Whether a valid billing option is on file.
    pub billing_option: bool,
    /// Whether its phone number was verified.
    pub verified_phone: bool,
}

/// What a free account lacks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Lacking {
    /// No way to bill it.
    #[error("a free account holds end-to-end encrypted meetings once a valid billing option is on file; add one")]
    BillingOption,
    /// No phone number.
    #[error("a free account holds end-to-end encrypted meetings once its phone number is verified; verify it")]
    VerifiedPhone,
    /// Neither.
    #[error(
        "a free account holds end-to-end encrypted meetings once a valid billing option is on file and its phone \
         number is verified; both are missing"
    )]
    Both,
}

impl FreeAccounts {
    /// Whether `account` may hold end-to-end encrypted meetings.
    ///
    /// # Errors
    /// What is [`Lacking`].
    pub const fn admit(&self, account: &Account) -> Result<(), Lacking> {
        let billing = self.billing_option && account.free && !account.billing_option;
        let phone = self.verified_phone && account.free && !account.verified_phone;
        match (billing, phone) {
            (false, false) => Ok(()),
            (true, false) => Err(Lacking::BillingOption),
            (false, true) => Err(Lacking::VerifiedPhone),
            (true, true) => Err(Lacking::Both),
        }
    }
}

/// Both are asked for.
impl Default for FreeAccounts {
    fn default() -> Self {
        Self { billing_option: true, verified_phone: true }
    }
}
