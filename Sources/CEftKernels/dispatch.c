int eft_placeholder(void);int eft_placeholder(void){return 0;}
