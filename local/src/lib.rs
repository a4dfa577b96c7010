pub mod aws;
pub mod http;
pub mod lambda;
pub mod life;
pub mod stand_in;
pub mod storm;
pub mod system;
pub mod table;
